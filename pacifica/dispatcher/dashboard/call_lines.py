"""The lines for a shell and for Python that dispatch the same job, and those that act on all jobs of a filter."""

import json
import shlex
from collections.abc import Mapping, Sequence
from keyword import iskeyword
from typing import Any
from urllib.parse import quote

from ..core import control_characters, strict_json
from ..core.job import iso
from ..core.job_filter import JobFilter

OWN_NAMES = ("self", "task", "options", "idempotency_key")
"""Parameters of the client's ``dispatch``, which an argument of a task cannot share."""
WIDTH = 100


def curl_line(  # noqa: PLR0913 - the parts of a call
    base: str,
    task: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
    *,
    token: bool = False,
) -> str:
    """The curl command for a POSIX shell; ``base`` is the address of the service without a slash at its end.

    ``token``: the command sends the token in the variable ``DISPATCHER_TOKEN``.
    """
    given = {"args": list(args), "kwargs": dict(kwargs), "options": dict(options or {})}
    body = control_characters.in_json(_json({name: value for name, value in given.items() if value}))
    header = ['-H "Authorization: Bearer $DISPATCHER_TOKEN"'] if token else []
    parts = [f"curl {shlex.quote(_address(base, task))}", *header, "-H 'Content-Type: application/json'"]
    return " \\\n  ".join([*parts, f"-d {shlex.quote(body)}"])


def python_lines(
    base: str, task: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any] | None = None
) -> str:
    """The lines for Python that dispatch with the client and print the result."""
    call = _python_call(task, args, kwargs, options or {})
    return "\n".join(
        [
            "from pacifica.dispatcher.client import DispatcherClient",
            "",
            f"client = DispatcherClient({base!r})",
            f"job = client.{call}",
            "print(job.result())",
        ]
    )


def line_for_all(base: str, filters: JobFilter, command: str) -> str:
    """The line for a POSIX shell that finds the jobs, and runs the command ``cancel`` or ``retry`` for each."""
    given = [
        *(("state", state.value) for state in filters.states),
        *(("label", name if text is None else f"{name}={text}") for name, text in filters.labels),
        *((name, getattr(filters, name)) for name in ("task", "queue", "caller", "error")),
        *((name, iso(getattr(filters, name))) for name in ("since", "until")),
    ]
    options = [f"--{name} {shlex.quote(control_characters.one_line(text))}" for name, text in given if text is not None]
    url = f"--url {shlex.quote(base)}"
    program = "pacifica-dispatcher-cmd"
    each = f"cut -d' ' -f1 | xargs -n1 {program} {command} {url}"
    return f"{program} search {url} {' '.join(options)} --all \\\n  | sed 1d | {each}"


def _python_call(task: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    chosen = [f"options={dict(options)!r}"] if options else []
    if all(name.isascii() and name.isidentifier() and not iskeyword(name) and name not in OWN_NAMES for name in kwargs):
        named = [f"{name}={value!r}" for name, value in kwargs.items()]
        return _call("dispatch", [repr(task), *map(repr, args), *named, *chosen])
    return _call("dispatch_call", [repr(task), f"args={list(args)!r}", f"kwargs={dict(kwargs)!r}", *chosen])


def _call(name: str, parts: Sequence[str]) -> str:
    """The call on one line, or with one argument on each line if it is long."""
    line = f"{name}({', '.join(parts)})"
    return line if len(line) <= WIDTH else "".join([f"{name}(\n", *(f"    {part},\n" for part in parts), ")"])


def _address(base: str, task: str) -> str:
    return f"{base}/dispatch/{quote(task, safe='.:@+~-_')}"


def _json(value: Any) -> str:
    """The JSON text with its digits as they were written, and readable letters of any script."""
    text = strict_json.dumps_exact(value)
    return text if "\\u" not in text else json.dumps(value, ensure_ascii=False)
