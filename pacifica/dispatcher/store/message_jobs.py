"""Jobs that messages bring: their rows are inserted in the transaction that claims them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import peewee

from .. import orm
from ..core import failpoints
from ..core.job import Job
from . import mapping, purge
from .database import Database
from .prepared import PreparedRows


class MessageJobs:
    """Inserts jobs whose messages were published without a row."""

    def __init__(self, database: Database) -> None:
        self._insert = PreparedRows(database.peewee, orm.Job, mapping.JOB_COLUMNS, keep=True)

    def insert(self, db: peewee.Database, jobs: Mapping[str, Job], holder: str) -> None:
        """Insert jobs by UUID inside the caller's transaction, unless they were purged; one that exists stays as it is.

        A new row has the ``holder``, so that it differs from one that another worker has inserted meanwhile.
        """
        purged = purge.purged_among(db, jobs)
        # In one order, as two workers that insert the same jobs in different orders would wait for each other.
        new: Sequence[str] = sorted(jobs.keys() - purged)
        self._insert.run([mapping.job_to_row(replace(jobs[uuid], holder=holder)) for uuid in new])
        failpoints.reach("after-insert")
