"""The files of the task modules and of the configuration: which of them have changed since the last look."""

import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path

MAX_FILES = 2000
"""The most files that are watched; in larger folders, the others are not noticed."""

Seen = tuple[int, int]
"""The time of the last change, in nanoseconds, and the size."""


class ModuleWatch:
    """Looks at the Python files beside the modules, and in the packages, that ``names`` name, and at ``files``.

    Modules are found as a server in this working directory finds them, without importing them. A file that is away
    for a moment, as when an editor replaces it, counts when it is back.
    """

    def __init__(self, names: Iterable[str], files: Iterable[Path] = ()) -> None:
        self._folders = list(_folders({name.partition(".")[0] for name in names}))
        self._files = list(files)
        self._seen: dict[Path, Seen] = {}
        self.changed()

    def changed(self) -> list[Path]:
        """The files that have changed since the last call; a new file counts from its first change on."""
        found = []
        for path in self._paths():
            seen = _look(path)
            if seen is not None and self._seen.setdefault(path, seen) != seen:
                self._seen[path] = seen
                found.append(path)
        return found

    def _paths(self) -> list[Path]:
        own = [path for folder, pattern in self._folders for path in folder.glob(pattern)]
        return [*self._files, *own][:MAX_FILES]


def _folders(tops: Iterable[str]) -> Iterator[tuple[Path, str]]:
    """The folder of each module with the pattern of its files: a package has folders below it."""
    path = [str(Path.cwd()), *sys.path]
    for top in tops:
        spec = PathFinder.find_spec(top, path)
        if spec is None:
            continue
        if spec.submodule_search_locations:
            yield from ((Path(place), "**/*.py") for place in spec.submodule_search_locations)
        elif spec.origin:
            yield Path(spec.origin).parent, "*.py"


def _look(path: Path) -> Seen | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
