"""Where the configuration file is, and what it says."""

from collections.abc import Mapping
from pathlib import Path

from .config_ini import PlaceFault
from .errors import ConfigError

VARIABLE = "DISPATCHER_CONFIG"
FOLDER = ".pacifica-dispatcher"


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
