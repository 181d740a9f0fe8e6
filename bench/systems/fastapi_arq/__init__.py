"""FastAPI and arq: asyncio all the way."""

from collections.abc import Sequence
from typing import ClassVar

from ...processes import Command
from ...servers import REDIS
from ..commands import uvicorn
from ..counting import redis_keys_of, redis_members
from ..system import ARQ, Place, System


class FastapiArq(System):
    """Its workers look every 10 ms (``poll_delay``); its default, half a second, would make latency all waiting."""

    name = "fastapi-arq"
    title = "FastAPI + arq (Redis)"
    needs = (REDIS,)
    environment = ARQ
    libraries = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "arq", "redis", "hiredis")
    logs = (
        "no line for a request (`--no-access-log`), "
        "no line for a job (`--custom-log-dict`: arq's default is two for each)"
    )
    ended: ClassVar[tuple[str, ...]] = ("complete",)

    def web(self, place: Place, processes: int) -> Sequence[Command]:
        """Under uvicorn."""
        return uvicorn(place, processes, ARQ)

    def workers(self, place: Place, processes: int) -> Sequence[Command]:
        """One process each."""
        return [
            Command(f"worker-{number}", [ARQ / "arq", "--custom-log-dict", "work.QUIET", "work.WorkerSettings"])
            for number in range(processes)
        ]

    def finished(self, place: Place) -> int:
        """A job is in the queue until it has ended; only then the results are counted, which costs more."""
        return 0 if redis_members(place, 0, "arq:queue") else redis_keys_of(place, 0, "arq:result:*")
