"""``dispatch``: a new job over HTTP."""

import math
from collections.abc import Mapping
from typing import Any

import click

from ...client import Refused, RemoteJob, TimedOut
from .. import dispatch_arguments, output
from ..dispatch_arguments import OPTION_NAMES, Pairs
from ..http_options import HttpContext, http_command
from ..parameter_types import Pair, Seconds


class NumbersCommand(click.Command):
    """A command whose arguments may be negative numbers; a word with two hyphens is still an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse unknown options, as click would without ``ignore_unknown_options``."""
        known = {name for parameter in self.get_params(ctx) for name in (*parameter.opts, *parameter.secondary_opts)}
        before = args[: args.index("--")] if "--" in args else args
        for word in before:
            name = word.partition("=")[0]
            if name.startswith("--") and name not in known:
                raise click.NoSuchOption(name, ctx=ctx)
        return super().parse_args(ctx, args)


@click.command(cls=NumbersCommand, context_settings={"ignore_unknown_options": True})
@click.argument("task")
@click.argument("args", nargs=-1)
@click.option("-k", "--kwarg", "kwargs", type=Pair(), multiple=True, help="An argument by name; repeatable.")
@click.option("-o", "--option", "options", type=Pair(), multiple=True, help=f"An option of the job: {OPTION_NAMES}.")
@click.option(
    "-l",
    "--label",
    "labels",
    type=Pair(),
    multiple=True,
    help="A label to search by; repeatable. A label of -o labels=JSON takes precedence.",
)
@click.option("--key", help="The Idempotency-Key: the same key returns the same job, however often it is sent.")
@click.option(
    "--wait",
    type=Seconds(),
    is_flag=False,
    flag_value=math.inf,
    help="Wait for the result (without SECONDS, as long as it takes), and print it instead of the UUID. With --json, "
    "the job is printed, also after a timeout.",
)
@http_command
def dispatch(  # noqa: PLR0913 - each is an option
    context: HttpContext,
    task: str,
    args: tuple[str, ...],
    *,
    kwargs: Pairs,
    options: Pairs,
    labels: Pairs,
    key: str | None,
    wait: float | None,
) -> None:
    """Dispatch a job of TASK, and print its UUID.

    ARGS are read as in a URL, by the annotations of the task; without annotations 2 is an integer, 1.5 a decimal
    number, and any other text a string. If an argument begins with two hyphens, put -- before the first argument.

    \b
    Examples:
      pacifica-dispatcher-cmd dispatch add 2 2
      pacifica-dispatcher-cmd dispatch add 2 -2 --wait
      pacifica-dispatcher-cmd dispatch lab.convert S-17 -k scale=2 -o priority=9 -l run=17
      UUID=$(pacifica-dispatcher-cmd dispatch add 2 2) && pacifica-dispatcher-cmd wait $UUID
    """
    schema = _arguments_schema(context, task)
    job = context.client.dispatch_call(
        task,
        dispatch_arguments.positional(schema, args),
        dispatch_arguments.named(schema, dispatch_arguments.by_name("--kwarg", kwargs)),
        options=dispatch_arguments.options_of(options, labels),
        idempotency_key=key,
    )
    if wait is not None:
        _print_outcome(context, job, wait)
    else:
        context.show(job.seen and job.seen.document, job.uuid)


def _arguments_schema(context: HttpContext, task: str) -> Mapping[str, Any]:
    """The schema of the task's arguments; empty for a caller that may dispatch the task, but not read about it."""
    try:
        return context.client.task(task).arguments
    except Refused as error:
        if error.status != 403:
            raise
        return {}


def _print_outcome(context: HttpContext, job: RemoteJob, seconds: float) -> None:
    """Print the result, or with ``--json`` the whole job, whatever its state."""
    try:
        status = job.wait(seconds)
    except KeyboardInterrupt:
        click.echo(f"\nJob {job.uuid} goes on.", nl=False, err=True)
        raise
    except TimedOut as error:
        known = error.job or job.seen
        if context.as_json and known is not None:
            output.print_json(known.document)
        raise
    if context.as_json:
        output.print_json(status.document)
    result = RemoteJob(job.connection, job.uuid, status).result()
    if not context.as_json:
        output.print_result(result)
