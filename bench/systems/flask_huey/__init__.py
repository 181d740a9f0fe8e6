"""Flask and Huey on SQLite: nothing is installed beside."""

from collections.abc import Sequence

from ...processes import Command
from ..commands import gunicorn
from ..counting import rows
from ..system import PEERS, Place, System


class FlaskHuey(System):
    """Its consumer looks every 10 ms (``-d``, ``-m``); its default, 100 ms to 10 s, would make latency all waiting."""

    name = "flask-huey"
    title = "Flask + Huey (SQLite)"
    libraries = ("flask", "werkzeug", "gunicorn", "huey")
    logs = "no line for a request (gunicorn's default), no line for a job (`--quiet`: Huey's default is two for each)"

    def web(self, place: Place, processes: int) -> Sequence[Command]:
        """Under gunicorn."""
        return gunicorn(place, processes)

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        """Processes."""
        options = ["-w", str(processes), "-k", "process", "-d", "0.01", "-m", "0.01", "-g", "TERM", "--quiet"]
        return [Command("worker", [PEERS / "huey_consumer", "work.huey", *options])]

    def finished(self, place: Place) -> int:
        """Huey writes one row for each result."""
        return rows(place.folder / "huey.sqlite3", "kv")
