"""The client of a run that sends jobs with Celery's ``delay``, in a program without the dispatcher."""

import re
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.job import FINAL
from pacifica.dispatcher.store.database import Database

from ..eventually import eventually
from ..processes import Processes
from .outcomes import Accepted

PROGRAM = Path(__file__).parent / "programs" / "foreign_client.py"
CONFIRMED = re.compile(r"^confirmed (\S+) (\S+) (\d+)$", re.MULTILINE)
ENDS = 180.0
"""Seconds in which the program must end: the broker may still be starting."""
VISIBILITY = 10
"""Seconds after which Redis delivers a message again whose worker was killed; the default is an hour."""
REDIS_SETTING = f'broker_transport_options = {{"visibility_timeout": {VISIBILITY}, "unacked_restore_interval": 1}}'
"""A line of ``[celery]``."""


class ForeignClient:
    """The program; it publishes about ``rate`` jobs per second, which workers store in the database."""

    def __init__(self, processes: Processes, broker_url: str, database_url: str, rate: float, seed: object) -> None:
        program = processes.add_module(PROGRAM)
        self._running = processes.start("foreign", (program.name, broker_url, str(1 / rate), str(seed)))
        self._redis = broker_url.startswith("redis")
        self._database_url = database_url

    def stop(self) -> None:
        """Have it end, once the broker has confirmed its last job."""
        self._running.stop(ENDS)
        if self._redis:  # Messages that it has lost will not come.
            with suppress(AssertionError):
                eventually(lambda: not self.missing(), 4 * VISIBILITY)

    def open(self) -> int:
        """How many confirmed jobs have no row yet; those that Redis has lost count no more."""
        return 0 if self._redis else len(self.missing())

    def confirmed(self) -> list[Accepted]:
        """The jobs that the broker has confirmed so far."""
        found = CONFIRMED.findall(self._running.output())
        return [Accepted(token, int(n), uuid) for uuid, token, n in found]

    def missing(self) -> list[Accepted]:
        """Those of them that have no row."""
        known = stored(self._database_url)
        return [job for job in self.confirmed() if job.uuid not in known]

    def kept(self, tally: Counter[str]) -> list[Accepted]:
        """The confirmed jobs that have a row, counted; raises ``AssertionError`` if others may not be lost.

        kombu takes a message out of Redis before it notes who has it: one may be lost with each kill.
        """
        lost = self.missing()
        kills = sum(count for name, count in tally.items() if name.startswith(("killed: worker", "killed: broker")))
        assert len(lost) <= (kills if self._redis else 0), f"{len(lost)} confirmed messages are lost: {lost[:5]}"
        found = [job for job in self.confirmed() if job not in lost]
        tally["sent by the program without the dispatcher"] = len(found)
        tally["messages that Redis has lost"] = len(lost)
        return found


def open_jobs(database_url: str) -> int:
    """How many jobs in the record have not ended."""
    with closing(Database(database_url)) as database:
        return int(database.read(orm.Job.select().where(orm.Job.state.not_in(list(FINAL))).count))


def stored(database_url: str) -> set[str]:
    """The UUIDs of all jobs in the record."""
    with closing(Database(database_url)) as database:
        return database.read(lambda db: {row[0] for row in orm.Job.select(orm.Job.uuid).tuples().execute(db)})
