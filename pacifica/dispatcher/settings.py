"""The settings of this process: the file found, read and checked in one call."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from . import config_file
from .celery_settings import CELERY_TYPES
from .config import given_values, parse
from .config_ini import Given, Name, read_ini
from .config_options import Settings


class Sources(NamedTuple):
    """What the settings of a process are made of; ``path`` is ``None`` when there is no file."""

    path: Path | None
    text: str
    environ: Mapping[str, str]

    def given(self) -> Mapping[Name, Given]:
        """Each setting that is not left at its default, as it was written; nothing is judged."""
        return given_values(read_ini(self.text, str(self.path)), self.environ, {})


def find_sources(config: Path | None = None, environ: Mapping[str, str] | None = None) -> Sources:
    """The file that ``load_settings`` would read, read; raises ``ConfigError`` when that cannot be done."""
    environ = os.environ if environ is None else environ
    path = config_file.find(config, environ, Path.cwd(), _home(environ))
    return Sources(path, "" if path is None else config_file.read(path), environ)


def load_settings(
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[tuple[str, str], str] | None = None,
) -> Settings:
    """The settings that file, environment and command line give now; raises ``ConfigError`` with all their faults.

    ``config`` is a file named on the command line, ``overrides`` are values by section and key from
    there; without ``environ`` it is the process's own.
    """
    return understand(find_sources(config, environ), overrides)


def understand(sources: Sources, overrides: Mapping[tuple[str, str], str] | None = None) -> Settings:
    """The same, of sources that were read before."""
    path, text, environ = sources
    return parse(text, environ, overrides or {}, celery_types=CELERY_TYPES, source=str(path or "config.ini"))


def _home(environ: Mapping[str, str]) -> Path:
    """The home directory; a service account may have none, and then has no file there."""
    try:
        return Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    except RuntimeError:
        return Path("/nonexistent")
