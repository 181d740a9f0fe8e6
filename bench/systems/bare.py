"""The bare CherryPy page: under gunicorn with the project's settings for it, and under CherryPy's own server."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from ..processes import Command, Group, answers, free_port, group
from .pacifica import GUNICORN
from .system import OURS, READY

APP = Path(__file__).parent / "bare_cherrypy"


class Page(NamedTuple):
    """One that serves: where, its working directory, and its processes."""

    url: str
    folder: Path
    processes: Group


def bare_gunicorn(port: int, processes: int) -> Sequence[str | Path]:
    """In the server that the project has, which logs no access itself."""
    return [OURS / "gunicorn", "-c", GUNICORN, "-b", f"127.0.0.1:{port}", "-w", str(processes), "page:application"]


def bare_embedded(port: int) -> Sequence[str | Path]:
    """In CherryPy's own server as it comes, with ten threads."""
    return [OURS / "python", APP / "page.py", str(port)]


@contextmanager
def serving(arguments: Sequence[str | Path], port: int) -> Iterator[Page]:
    """While it serves."""
    with TemporaryDirectory(prefix="bench-bare-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        with group(folder, {"PYTHONPATH": str(APP)}) as processes:
            processes.start(Command("web", arguments))
            until = time.monotonic() + READY
            while not answers(port):
                processes.must_live()
                if time.monotonic() > until:
                    raise TimeoutError("the bare page did not answer")
                time.sleep(0.02)
            yield Page(f"http://127.0.0.1:{port}", folder, processes)


@contextmanager
def bare_page(processes: int) -> Iterator[Page]:
    """The page under gunicorn with so many processes, or with 0 under CherryPy's own server."""
    port = free_port()
    with serving(bare_gunicorn(port, processes) if processes else bare_embedded(port), port) as page:
        yield page
