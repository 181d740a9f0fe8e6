"""Stored text does not drive the terminal of a reader: each command shows control characters as escapes."""

import json
import subprocess
import sys
from typing import Any

import pytest

from pacifica.dispatcher.cli import output
from pacifica.dispatcher.cli.commands.doctor.checks import bad, show
from pacifica.dispatcher.cli.exit_codes import click_exception
from pacifica.dispatcher.cli.processes import Child
from pacifica.dispatcher.core import control_characters, strict_json
from pacifica.dispatcher.core.errors import DispatcherError

from ..client.stub import JOB, Answer, Stub
from .conftest import Run
from .jobs import DONE

EVIL = "a\x1b]52;c;cm0=\x1b\\\x9b31m\x7f\r\u202eb\u2066\u2028"
"""An escape sequence that sets the clipboard, one of C1, and text that is shown in another order than it is read."""
DRIVES = frozenset(EVIL) - frozenset("ab]52;cm0=\\31")
TIMES = dict.fromkeys(("eta", "expires", "published"))
HOSTILE: dict[str, Any] = {
    **JOB,
    **TIMES,
    "uuid": DONE,
    **dict.fromkeys(("task", "result", "worker", "queue", "caller"), EVIL),
    "args": [EVIL],
    "kwargs": {EVIL: EVIL},
    "labels": {EVIL: EVIL},
    "progress": {"current": 1, "total": 2, "message": EVIL},
    "max_attempts": 3,
}
FAILED = {**HOSTILE, "state": "FAILURE", "error": {"type": EVIL, "message": EVIL, "traceback": f"{EVIL}\n  {EVIL}"}}
STARTED = {**HOSTILE, "state": "STARTED", "result": None}
EVENT = {"id": 1, "job": DONE, "at": JOB["created"], "kind": EVIL, "data": {EVIL: EVIL, "reason": EVIL}}
TASK = {"name": EVIL, "doc": EVIL, "arguments": {"properties": {EVIL: {"type": EVIL}}}, "result": {"enum": [EVIL]}}
PROBLEM = {"type": EVIL, "status": 404, "title": EVIL, "detail": EVIL}
CASES: list[tuple[str, Answer]] = [
    *[(f"status {DONE}", Answer(body=job)) for job in (HOSTILE, FAILED, STARTED)],
    *[(f"status {DONE} {DONE}0", Answer(body=job)) for job in (HOSTILE, FAILED, STARTED)],
    *[("search", Answer(body={"jobs": [job], "next": None})) for job in (HOSTILE, FAILED, STARTED)],
    *[(f"wait {DONE}", Answer(body=job)) for job in (HOSTILE, FAILED)],
    *[(f"watch {DONE}", Answer(body=job)) for job in (HOSTILE, FAILED)],
    (f"result {DONE}", Answer(body=FAILED)),
    (f"cancel {DONE}", Answer(body=FAILED)),
    (f"retry {DONE}", Answer(body=HOSTILE)),
    (f"events {DONE}", Answer(body={"events": [EVENT]})),
    ("tasks", Answer(body={"tasks": [TASK]})),
    ("tasks add", Answer(body=TASK)),
    ("openapi", Answer(body=TASK)),
    *[(f"{name} {DONE}", Answer(404, PROBLEM)) for name in ("status", "wait", "result", "cancel", "retry", "events")],
    ("dispatch add", Answer(404, PROBLEM)),
]


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(("command", "answer"), CASES, ids=[f"{name}-{index}" for index, (name, _) in enumerate(CASES)])
def test_no_command_prints_a_control_character(
    stub: Stub, invoke_on_stub: Run, command: str, answer: Answer, *, as_json: bool
) -> None:
    stub.will(answer)
    ran = invoke_on_stub(*command.split(), *["--json"] * as_json)
    shown = ran.stdout + ran.stderr
    assert not DRIVES & set(shown.replace("\r\n", "\n"))
    assert "cm0=" in shown or "wait" in command or "cancel" in command or "retry" in command
    for line in ran.stdout.splitlines() if as_json else ():
        json.loads(line)


def test_json_of_a_hostile_text_is_the_same_value() -> None:
    text = strict_json.pretty({EVIL: [EVIL]}).decode()
    assert not DRIVES & set(text)
    assert strict_json.loads(text) == {EVIL: [EVIL]}
    assert strict_json.pretty("é – 你 👍") == '"é – 你 👍"\n'.encode()


@pytest.mark.parametrize("terminal", [False, True])
def test_result_is_exact_in_a_pipe_and_escaped_in_a_terminal(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, *, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    output.print_result("\x1b[31mred\x1b[0m\n\tnext\x9b")
    exact, escaped = "\x1b[31mred\x1b[0m\n\tnext\x9b\n", "\\x1b[31mred\\x1b[0m\n\tnext\\x9b\n"
    assert capsysbinary.readouterr().out.decode() == (escaped if terminal else exact)


@pytest.mark.slow
def test_doctor_and_up_show_control_characters_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    show(bad("probe", EVIL, EVIL))
    process = subprocess.Popen(
        [sys.executable, "-c", f"print({EVIL!r})"],
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={"PYTHONUTF8": "1"},
    )
    with process:
        child = Child("web", process, output.Screen())
        child.release()
        child.wait()
    shown = capsys.readouterr().out
    assert shown.count("cm0=") == 3
    assert not DRIVES & set(shown)


def test_message_that_ends_a_command_keeps_only_its_line_breaks() -> None:
    class Evil(DispatcherError, code="evil"):
        """An error with a hostile text."""

    message = click_exception(Evil(f"one\n\ttwo {EVIL}")).format_message()
    assert message.startswith("one\n\ttwo a\\x1b]52")
    assert not DRIVES & set(message)


@pytest.mark.parametrize(
    "code", [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), 0x2066, 0x2069, 0xD800]
)
def test_each_control_character_is_escaped(code: int) -> None:
    assert control_characters.one_line(chr(code)).isprintable()
    kept = chr(code) in "\n\t"
    assert (control_characters.lines(chr(code)) == chr(code)) is kept


@pytest.mark.parametrize("text", ["", "é – 你 👍", "שלום", "a\u200db", "\\x1b"])
def test_other_text_is_shown_unchanged(text: str) -> None:
    assert control_characters.one_line(text) == control_characters.lines(text) == text
