"""``tasks``: the catalogue of the service."""

from collections.abc import Mapping
from typing import Any

import click
from rich.text import Text

from ...client import TaskInfo
from ...client.connection import parse
from ...core import strict_json
from .. import output
from ..http_options import HttpContext, http_command


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
        rows = [(task.name, parse(_signature, task.arguments), task.doc.partition("\n")[0]) for task in found]
        output.print_table(("TASK", "ARGUMENTS", ""), rows)
    else:
        output.print_table((), _details(found[0]))


def _signature(arguments: Mapping[str, Any]) -> str:
    """The arguments of a task by name, with their types and defaults."""
    parts = []
    for name, own in arguments.get("properties", {}).items():
        default = f" = {strict_json.dumps(own['default'])}" if "default" in own else ""
        optional = "" if name in arguments.get("required", ()) or default else "?"
        parts.append(f"{name}{optional}: {_type(own)}{default}")
    if arguments.get("additionalProperties", False) is not False:
        parts.append("…")
    return ", ".join(parts)


def _type(schema: Any) -> str:
    if schema is True:
        return "any"
    if "enum" in schema:
        return " | ".join(map(strict_json.dumps, schema["enum"]))
    union = schema.get("anyOf") or schema.get("oneOf")
    if union:
        # The texts that stand for NaN and infinity are part of any float.
        return " | ".join(_type(each) for each in union if each.get("enum") != list(strict_json.NON_FINITE))
    if schema.get("type") == "array":
        return f"array of {_type(schema.get('items', {}))}"
    return str(schema.get("type") or schema.get("$ref", "any").rpartition("/")[2])


def _details(task: TaskInfo) -> list[tuple[str, str | Text]]:
    lines = [
        ("task", task.name),
        ("arguments", parse(_signature, task.arguments)),
        ("result", parse(_type, task.result)),
    ]
    return [*lines, ("", task.doc)] if task.doc else [*lines]
