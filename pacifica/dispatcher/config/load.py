"""Finds and reads the configuration file of this process, and returns its settings."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..core.errors import ConfigError
from .ini import Given, Name, PlaceFault, read_ini
from .parser import given_values, parse
from .settings import Settings

VARIABLE = "DISPATCHER_CONFIG"
FOLDER = ".pacifica-dispatcher"


class Sources(NamedTuple):
    """The configuration file of a process and its environment; ``path`` is ``None`` if there is no file."""

    path: Path | None
    text: str
    environ: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name of the file in messages."""
        return str(self.path or "config.ini")

    def given(self) -> Mapping[Name, Given]:
        """Each setting that is not left at its default, as it was written; nothing is checked."""
        return given_values(read_ini(self.text, str(self.path)), self.environ)

    def names(self, section: str, key: str) -> list[str]:
        """The names in a setting that separates them by commas, as they were written; nothing is checked."""
        given = self.given().get(Name(section, key))
        return [name for name in map(str.strip, given.text.split(",")) if name] if given else []

    def settings(self) -> Settings:
        """The settings; raises ``ConfigError`` with all faults."""
        from .celery_settings import CelerySettings  # gunicorn's master reads the file without importing Celery

        return parse(self.text, self.environ, celery=CelerySettings, source=self.name)


def load_settings(config: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings that file and environment specify now; raises ``ConfigError`` with all faults.

    ``config`` is a file named on the command line. ``environ`` defaults to the environment of the process.
    """
    return find_sources(config, environ).settings()


def find_sources(config: Path | None = None, environ: Mapping[str, str] | None = None) -> Sources:
    """Read the configuration file; raises ``ConfigError`` if it cannot be read. Parameters as ``load_settings``."""
    environ = os.environ if environ is None else environ
    path = find(config, environ, Path.cwd(), _home(environ))
    return Sources(path, "" if path is None else read(path), environ)


def find(explicit: Path | None, environ: Mapping[str, str], cwd: Path, home: Path) -> Path | None:
    """The first of: ``explicit`` (``-c``), ``DISPATCHER_CONFIG``, ``config.ini`` in ``cwd``, the file in ``home``.

    The first two may be relative to ``cwd``; ``ConfigError`` is raised if one of them is given and does not exist.
    """
    if explicit is not None:
        return _existing(cwd / explicit, "command line")
    if environ.get(VARIABLE):
        return _existing(cwd / environ[VARIABLE], f"environment {VARIABLE}")
    return next((path for path in (cwd / "config.ini", home / FOLDER / "config.ini") if _is_file(path)), None)


def read(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark; raises ``ConfigError``."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"byte {error.start} is not UTF-8; save the file in that encoding"
    except OSError as error:
        message = f"it cannot be read: {error.strerror}"
    raise ConfigError([PlaceFault("", "", str(path), message)])


def _home(environ: Mapping[str, str]) -> Path:
    """The home directory, or a path that does not exist for a service account without one."""
    try:
        return Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def _existing(path: Path, origin: str) -> Path:
    """The path, if it is a file or a pipe such as ``-c <(…)``; raises ``ConfigError``."""
    try:
        if path.exists() and not path.is_dir():
            return path
        message = "it is a folder" if path.exists() else "there is no such file"
    except OSError as error:
        message = f"it cannot be read: {error.strerror}"
    raise ConfigError([PlaceFault("", "", str(path), f"{message} (from {origin})")])


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # The home directory, such as root's, may not be read.
        return False
