"""Where the configuration file is, and what it says."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..core.errors import ConfigError
from .ini import Given, Name, PlaceFault, read_ini
from .parser import given_values

VARIABLE = "DISPATCHER_CONFIG"
FOLDER = ".pacifica-dispatcher"


class Sources(NamedTuple):
    """What the settings of a process are made of; ``path`` is ``None`` when there is no file."""

    path: Path | None
    text: str
    environ: Mapping[str, str]

    @property
    def name(self) -> str:
        """What messages call the file."""
        return str(self.path or "config.ini")

    def given(self) -> Mapping[Name, Given]:
        """Each setting that is not left at its default, as it was written; nothing is judged."""
        return given_values(read_ini(self.text, str(self.path)), self.environ, {})


def find_sources(config: Path | None = None, environ: Mapping[str, str] | None = None) -> Sources:
    """The file that counts for this process, read; raises ``ConfigError`` when that cannot be done.

    ``config`` is a file named on the command line; without ``environ`` it is the process's own.
    """
    environ = os.environ if environ is None else environ
    path = find(config, environ, Path.cwd(), _home(environ))
    return Sources(path, "" if path is None else read(path), environ)


def find(explicit: Path | None, environ: Mapping[str, str], cwd: Path, home: Path) -> Path | None:
    """The first file of: ``explicit`` (``-c``), ``DISPATCHER_CONFIG``, ``config.ini`` in ``cwd``, the one in ``home``.

    ``None`` when there is none. The first two must exist once they are named, or a ``ConfigError``
    is raised; a relative one is relative to ``cwd``.
    """
    if explicit is not None:
        return _existing(cwd / explicit, "command line")
    if environ.get(VARIABLE):
        return _existing(cwd / environ[VARIABLE], f"environment {VARIABLE}")
    return next((path for path in (cwd / "config.ini", home / FOLDER / "config.ini") if _is_file(path)), None)


def read(path: Path) -> str:
    """The text of the file, which is UTF-8 with or without a byte order mark; else a ``ConfigError``."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"byte {error.start} is not UTF-8; save the file in that encoding"
    except OSError as error:
        message = f"it cannot be read: {error.strerror}"
    raise ConfigError([PlaceFault("", "", str(path), message)])


def _home(environ: Mapping[str, str]) -> Path:
    """The home directory; a service account may have none, and then has no file there."""
    try:
        return Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def _existing(path: Path, origin: str) -> Path:
    """A pipe is as good as a file, such as ``-c <(…)``."""
    try:
        if path.exists() and not path.is_dir():
            return path
        message = "it is a folder" if path.exists() else "there is no such file"
    except OSError as error:
        message = f"it cannot be read: {error.strerror}"
    raise ConfigError([PlaceFault("", "", str(path), f"{message} (from {origin})")])


def _is_file(path: Path) -> bool:
    """A home that must not be looked into, such as root's under another user, has no file."""
    try:
        return path.is_file()
    except OSError:
        return False
