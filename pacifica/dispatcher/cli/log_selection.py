"""Which log lines of its processes ``up`` shows: warnings, and one line for each job that has ended."""

import json
import re

PLAIN = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z (?P<level>[A-Z]+) +(?P<logger>[^ :]+): (?P<message>.*)")
ENDED = re.compile(r"job (succeeded|failed|retried|revoked|lost)\b")
QUIET = frozenset({"DEBUG", "INFO"})


class LogSelection:
    """Decides line by line; the lines that follow a log line, such as a traceback, belong to it."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self._shown = True

    def shows(self, line: str) -> bool:
        """Whether to show this line of a running process."""
        if self._verbose:
            return True
        level, message = _parts(line)
        if level:
            self._shown = level not in QUIET or ENDED.match(message) is not None
        elif line[:1] not in {" ", "\t"}:
            self._shown = True  # Not a log line: a last message of Python, or a print.
        return self._shown

    def shows_of_start(self, line: str) -> bool:
        """Whether to show this line of a process that has started: its warnings alone."""
        level, _ = _parts(line)
        return bool(level) and level not in QUIET


def text_of(line: str) -> str:
    """The line without its time, so that the same warning of two processes is one text."""
    level, message = _parts(line)
    return f"{level} {message}"


def _parts(line: str) -> tuple[str, str]:
    """The level and the message of a log line in either form; empty for any other line."""
    if line.startswith('{"time"'):
        try:
            fields = json.loads(line)
        except ValueError:
            return "", ""
        return str(fields.get("level", "")), str(fields.get("message", ""))
    found = PLAIN.match(line)
    return (found["level"], found["message"]) if found else ("", "")
