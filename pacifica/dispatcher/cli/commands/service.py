"""``tasks``, ``openapi``, ``events``: what a service can do, and what happens in it."""

from collections.abc import Mapping
from typing import Any

import click
from rich.text import Text

from ...client import JobEvent, TaskInfo
from ...core import strict_json
from .. import output
from ..http_options import Talk, talking, talking_patiently
from ..screen import Screen, print_json, print_table


@click.command()
@click.argument("name", metavar="[TASK]", required=False)
@talking
def tasks(talk: Talk, name: str | None) -> None:
    """List what can be dispatched, or describe one task.

    \b
    Examples:
      pacifica-dispatcher-cmd tasks
      pacifica-dispatcher-cmd tasks add
    """
    found = talk.client.tasks() if name is None else [talk.client.task(name)]
    if talk.as_json:
        for task in found:
            print_json(task.document)
    elif name is None:
        rows = [(task.name, signature(task.arguments), task.doc.partition("\n")[0]) for task in found]
        print_table(("TASK", "ARGUMENTS", ""), rows)
    else:
        print_table((), _details(found[0]))


@click.command()
@talking
def openapi(talk: Talk) -> None:
    """Print the service's description of itself (OpenAPI 3.1)."""
    print_json(talk.client.openapi())


@click.command()
@click.argument("uuid", metavar="[UUID]", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until the job has ended or Ctrl-C.")
@click.option("--after", type=click.IntRange(0), metavar="ID", help="Only what comes behind this event.")
@talking_patiently
def events(talk: Talk, uuid: str | None, follow: bool, after: int | None) -> None:  # noqa: FBT001
    """Tell what happened to a job, or to all of them, oldest first.

    Without a UUID, --follow begins with what happens from now on, unless --after says otherwise; it goes on after a
    cut connection and a restart of the service.

    \b
    Examples:
      pacifica-dispatcher-cmd events $UUID
      pacifica-dispatcher-cmd events --follow --json
    """
    screen = Screen(highlight=False)
    if follow:
        told = talk.client.events(after) if uuid is None else talk.client.job(uuid).events(after)
    elif uuid is None:
        told = talk.client.history(after or 0)
    else:
        told = (event for event in talk.client.job(uuid).history() if event.id > (after or 0))
    for event in told:
        _tell(talk, screen, event)


def signature(arguments: Mapping[str, Any]) -> str:
    """The arguments of a task by name, with their types and defaults."""
    told = []
    for name, own in arguments.get("properties", {}).items():
        default = f" = {strict_json.dumps(own['default'])}" if "default" in own else ""
        optional = "" if name in arguments.get("required", ()) or default else "?"
        told.append(f"{name}{optional}: {_type(own)}{default}")
    if arguments.get("additionalProperties", False) is not False:
        told.append("…")
    return ", ".join(told)


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(map(strict_json.dumps, schema["enum"]))
    several = schema.get("anyOf") or schema.get("oneOf")
    if several:
        return " | ".join(map(_type, several))
    if schema.get("type") == "array":
        return f"array of {_type(schema.get('items', {}))}"
    return str(schema.get("type") or schema.get("$ref", "any").rpartition("/")[2])


def _details(task: TaskInfo) -> list[tuple[str, str | Text]]:
    lines = [("task", task.name), ("arguments", signature(task.arguments)), ("result", _type(task.result))]
    return [*lines, ("", task.doc)] if task.doc else [*lines]


def _tell(talk: Talk, screen: Screen, event: JobEvent) -> None:
    if talk.as_json:
        print_json(event.document)
    else:
        cells = [cell for cell in output.event(event) if cell]
        screen.print(Text("  ").join(Text(cell) if isinstance(cell, str) else cell for cell in cells), soft_wrap=True)
