"""The files that this process holds open."""

from contextlib import suppress
from pathlib import Path


def open_files(folder: Path) -> list[Path]:
    """Return the open files below the folder; threads of other tests may have opened others."""
    held = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            held.append(descriptor.readlink())
    return [path for path in held if path.is_relative_to(folder)]
