"""The settings of this process: the file found, read and checked in one call."""

import os
from collections.abc import Mapping
from pathlib import Path

from . import config_file
from .celery_settings import CELERY_TYPES
from .config import Settings, parse


def load_settings(
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[tuple[str, str], str] | None = None,
) -> Settings:
    """The settings that file, environment and command line give now; raises ``ConfigError`` with all their faults.

    ``config`` is a file named on the command line, ``overrides`` are values by section and key from
    there; without ``environ`` it is the process's own.
    """
    environ = os.environ if environ is None else environ
    path = config_file.find(config, environ, Path.cwd(), _home(environ))
    text = None if path is None else config_file.read(path)
    return parse(text, environ, overrides or {}, celery_types=CELERY_TYPES, source=str(path or "config.ini"))


def _home(environ: Mapping[str, str]) -> Path:
    """The home directory; a service account may have none, and then has no file there."""
    try:
        return Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    except RuntimeError:
        return Path("/nonexistent")
