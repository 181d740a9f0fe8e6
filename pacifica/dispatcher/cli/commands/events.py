"""``events``: the history of jobs, and new events as they happen."""

import click
from rich.text import Text

from ...client import JobEvent
from ...core.control_characters import one_line
from .. import output
from ..http_options import HttpContext, patient_http_command


@click.command()
@click.argument("uuid", metavar="[UUID]", required=False)
@click.option("-f", "--follow", is_flag=True, help="Continue with new events until the job has ended, or until Ctrl-C.")
@click.option("--after", type=click.IntRange(0), metavar="ID", help="Print only events after the one with this id.")
@patient_http_command
def events(context: HttpContext, uuid: str | None, follow: bool, after: int | None) -> None:  # noqa: FBT001
    """Print the events of one job or of all jobs, oldest first.

    With --follow and without a UUID, only new events are printed, unless --after names an earlier one. --follow
    continues after a cut connection and after a restart of the service.

    \b
    Examples:
      pacifica-dispatcher-cmd events $UUID
      pacifica-dispatcher-cmd events --follow --json
    """
    screen = output.Screen(highlight=False)
    if follow:
        found = context.client.events(after) if uuid is None else context.client.job(uuid).events(after)
    elif uuid is None:
        found = context.client.history(after or 0)
    else:
        found = (event for event in context.client.job(uuid).history() if event.id > (after or 0))
    for event in found:
        _print(context, screen, event)


def _print(context: HttpContext, screen: output.Screen, event: JobEvent) -> None:
    if context.as_json:
        output.print_json(event.document)
    else:
        data = "".join(f"  {name}={output.bare(value)}" for name, value in event.data.items())
        begin = f"{event.id}  {output.moment(event.at)}  {event.job}  "
        screen.print(Text.assemble(one_line(begin), output.state(event.kind), one_line(data)), soft_wrap=True)
