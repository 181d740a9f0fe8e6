"""How the web servers of the peers are started, and Celery's worker."""

from collections.abc import Sequence
from pathlib import Path

from ..processes import Command
from .system import PEERS, Place


def celery_worker(place: Place, processes: int) -> Sequence[Command]:
    """A prefork worker of ``work.py``, at Celery's own log level."""
    return [Command("worker", [PEERS / "celery", "-A", "work", "worker", *node(place), "-c", str(processes)])]


def node(place: Place) -> Sequence[str]:
    """A name that no other worker at the same broker has."""
    return ["-n", f"bench-{place.port}@%h"]


def uvicorn(place: Place, processes: int, environment: Path = PEERS) -> Sequence[Command]:
    """``web.py`` under uvicorn with uvloop and httptools, without access log."""
    where = ["--host", "127.0.0.1", "--port", str(place.port), "--workers", str(processes)]
    fast = ["--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    return [Command("web", [environment / "uvicorn", *where, *fast, "web:app"])]


def gunicorn(place: Place, processes: int) -> Sequence[Command]:
    """``web.py`` under gunicorn's threads; it logs no access unless it is told to."""
    where = ["-b", f"127.0.0.1:{place.port}", "-w", str(processes)]
    return [
        Command("web", [PEERS / "gunicorn", *where, "-k", "gthread", "--threads", "8", "--keep-alive", "10", "web:app"])
    ]
