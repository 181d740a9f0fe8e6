"""Flask and RQ."""

from collections.abc import Sequence
from typing import ClassVar

from ...processes import Command
from ...servers import REDIS
from ..commands import gunicorn
from ..counting import redis_members
from ..system import PEERS, Place, System


class FlaskRq(System):
    """``SimpleWorker``, which RQ's docs allow for jobs of a few milliseconds; its default forks for each job."""

    name = "flask-rq"
    title = "Flask + RQ (Redis)"
    needs = (REDIS,)
    libraries = ("flask", "werkzeug", "gunicorn", "rq", "redis")
    logs = "no line for a request (gunicorn's default), no line for a job (`--quiet`: RQ's default is two for each)"
    ended: ClassVar[tuple[str, ...]] = ("finished",)

    def web(self, place: Place, processes: int) -> Sequence[Command]:
        """Under gunicorn."""
        return gunicorn(place, processes)

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        """RQ's pool of them."""
        kind = ["--worker-class", "rq.worker.SimpleWorker", "--quiet", "--url", f"{place.redis}/0"]
        return [Command("worker", [PEERS / "rq", "worker-pool", "-n", str(processes), *kind, "default"])]

    def finished(self, place: Place) -> int:
        """RQ keeps the ids of finished jobs in a sorted set."""
        return redis_members(place, 0, "rq:finished:default")
