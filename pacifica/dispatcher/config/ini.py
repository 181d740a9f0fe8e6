"""The text of ``config.ini`` as named values, each with its source."""

from configparser import (
    ConfigParser,
    DuplicateOptionError,
    DuplicateSectionError,
    MissingSectionHeaderError,
    ParsingError,
)
from dataclasses import dataclass
from typing import NamedTuple

from ..core.faults import ConfigFault
from ..core.redaction import mask_passwords

_MARK = "\0"
"""A key that replaces a faulty line begins with it; the name that replaces a repeated section contains it."""


class Name(NamedTuple):
    """The name of a setting."""

    section: str
    key: str


class Given(NamedTuple):
    """A value as it was written; ``origin`` is the file or the environment variable."""

    text: str
    origin: str


@dataclass(frozen=True)
class PlaceFault(ConfigFault):
    """A fault of a place, such as a line or a file, rather than of a setting; ``value`` is the place."""

    def __str__(self) -> str:
        return f"{self.value}: {self.message}"


class IniText(NamedTuple):
    """The sections and values of a text, and a fault for each line that cannot be read."""

    sections: tuple[str, ...]
    values: dict[Name, Given]
    faults: tuple[PlaceFault, ...]


def read_ini(text: str, source: str) -> IniText:
    """Read every valid line, whatever the faults of other lines; ``source`` is the name of the text in messages.

    ``%``, ``#`` and ``;`` are literal within a value; ``[DEFAULT]`` is a section like any other.
    """
    if _MARK in text:
        return IniText((), {}, (PlaceFault("", "", source, "it contains a NUL character, so it is not a text file"),))
    parser, faults = _parse(text.split("\n"), source)
    named = [(section.partition(_MARK)[0], parser[section]) for section in parser.sections() if section[0] != _MARK]
    values = {
        Name(section, key): Given(value, source)
        for section, items in named
        for key, value in items.items()
        if not key.startswith(_MARK)
    }
    return IniText(tuple(dict.fromkeys(section for section, _ in named)), values, tuple(faults))


def _parse(lines: list[str], source: str) -> tuple[ConfigParser, list[PlaceFault]]:
    """Parse the lines; as ConfigParser stops at a faulty line, each is replaced by a harmless one and named."""
    faults: list[PlaceFault] = []
    while True:
        parser = ConfigParser(interpolation=None, default_section="")
        try:
            parser.read_string("\n".join(lines))
        except DuplicateSectionError as error:
            message = f"the section [{error.section}] occurs twice"
            bad = [(error.lineno or 1, f"[{error.section}{_MARK}{error.lineno}]", message)]
        except DuplicateOptionError as error:
            message = f"{error.option} occurs twice in [{error.section.partition(_MARK)[0]}]"
            bad = [(error.lineno or 1, _replacement(error.lineno), message)]
        except MissingSectionHeaderError as error:
            bad = [(error.lineno, f"[{_MARK}]", "a [section] must come first")]
        except ParsingError as error:
            bad = [
                (line, _replacement(line), f"{mask_passwords(lines[line - 1].strip())} is not of the form key = value")
                for line, _ in error.errors
            ]
        else:
            return parser, sorted(faults, key=lambda fault: int(fault.key))
        for line, replacement, message in bad:
            written = lines[line - 1]
            lines[line - 1] = written[: len(written) - len(written.lstrip())] + replacement
            faults.append(PlaceFault("", str(line), f"{source}, line {line}", message))


def _replacement(line: int | None) -> str:
    return f"{_MARK}{line} ="
