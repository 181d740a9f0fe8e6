"""The settings of this process: the file found, read and checked in one call."""

from collections.abc import Mapping
from pathlib import Path

from .celery_settings import CELERY_TYPES
from .file import Sources, find_sources
from .parser import parse
from .settings import Settings


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
    return parse(sources.text, sources.environ, overrides or {}, celery_types=CELERY_TYPES, source=sources.name)
