"""Which files this process holds open."""

from contextlib import suppress
from pathlib import Path


def opened(folder: Path) -> list[Path]:
    """Those of the folder; what other tests' threads open meanwhile is not asked."""
    held = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            held.append(descriptor.readlink())
    return [path for path in held if path.is_relative_to(folder)]
