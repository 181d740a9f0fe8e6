"""``Idempotency-Key``: the same key of the same caller is the same job, for as long as it is kept.

The key is taken in the transaction that stores the job, so that of two requests at the same moment
one stores a job and the other finds it. Source: draft-ietf-httpapi-idempotency-key-header.
"""

import hashlib
from dataclasses import dataclass

import peewee

from .. import orm
from ..core.errors import KeyReused
from ..core.job import Job
from .connections.mysql import along
from .database import Database

_I = orm.Idempotency


@dataclass(frozen=True, slots=True)
class Key:
    """A key as a caller sent it, what the request asks for, and the time from which the key counts."""

    caller: str
    key: str
    request: str
    since: int

    def digest(self) -> str:
        """The caller and the key, in a form of fixed length that can be indexed."""
        return _hash(f"{len(self.caller)}:{self.caller}{self.key}")

    def fingerprint(self) -> str:
        """What the request asks for, in a form of fixed length."""
        return _hash(self.request)


class Keys:
    """The keys in the table, inside the caller's transaction."""

    def take(self, db: peewee.Database, key: Key, job: Job) -> str | None:
        """Take the key for this job, or the UUID of the job that it stands for; raises ``KeyReused``."""
        digest, fingerprint = key.digest(), key.fingerprint()
        row = {_I.digest: digest, _I.fingerprint: fingerprint, _I.job: job.uuid, _I.created: job.created}
        _I.insert(row).on_conflict_ignore().execute(db)
        query = _I.select(_I.job, _I.fingerprint, _I.created).where(_I.digest == digest)
        found, same, created = next(iter(query.tuples().execute(db)))
        if created < key.since:
            _I.update(row).where(_I.digest == digest, _I.created < key.since).execute(db)
            found, same, _ = next(iter(query.tuples().execute(db)))
        if same != fingerprint:
            raise KeyReused(key.key)
        return None if found == job.uuid else str(found)


def forget_keys(database: Database, before: int, limit: int) -> int:
    """Delete at most ``limit`` keys that were taken ``before`` then, the oldest first; how many there were."""
    old = _I.select(_I.digest).where(_I.created < before).order_by(_I.created).limit(limit)
    digests = [row[0] for row in database.read(lambda db: list(old.tuples().execute(db)))]
    # One that was taken anew meanwhile stays.
    query = _I.delete().where(_I.digest.in_(digests), _I.created < before)
    return int(database.write(lambda db: along(db, query)).rowcount) if digests else 0


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
