"""``tasks``: the catalogue of the service."""

import click
from rich.text import Text

from ...client import TaskInfo
from ...client.connection import parse
from .. import output
from ..http_options import HttpContext, http_command
from ..signature_text import signature, type_name


@click.command()
@click.argument("name", metavar="[TASK]", required=False)
@http_command
def tasks(context: HttpContext, name: str | None) -> None:
    """List the tasks of the service, or describe one of them.

    \b
    Examples:
      pacifica-dispatcher-cmd tasks
      pacifica-dispatcher-cmd tasks add
    """
    found = context.client.tasks() if name is None else [context.client.task(name)]
    if context.as_json:
        for task in found:
            output.print_json(task.document)
    elif name is None:
        rows = [(task.name, parse(signature, task.arguments), task.doc.partition("\n")[0]) for task in found]
        output.print_table(("TASK", "ARGUMENTS", ""), rows)
    else:
        output.print_table((), _details(found[0]))


def _details(task: TaskInfo) -> list[tuple[str, str | Text]]:
    lines = [
        ("task", task.name),
        ("arguments", parse(signature, task.arguments)),
        ("result", parse(type_name, task.result)),
    ]
    return [*lines, ("", task.doc)] if task.doc else [*lines]
