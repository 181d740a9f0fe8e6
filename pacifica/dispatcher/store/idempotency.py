"""``Idempotency-Key``: requests of one caller with the same key stand for the same job, until the key expires.

The key is taken in the transaction that stores the job: of two simultaneous requests, one stores a job and the other
finds it. Source: draft-ietf-httpapi-idempotency-key-header.
"""

import hashlib
from dataclasses import dataclass

import peewee

from .. import orm
from ..core.errors import KeyReused
from ..core.job import Job
from .connections.mysql import execute_with_index_hint
from .database import Database

_I = orm.Idempotency


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A key as a caller sent it, the content of the request, and the time before which a stored key has expired."""

    caller: str
    key: str
    request: str
    since: int

    def digest(self) -> str:
        """A hash of the caller and the key, which can be indexed."""
        return _hash(f"{len(self.caller)}:{self.caller}{self.key}")

    def fingerprint(self) -> str:
        """A hash of the request."""
        return _hash(self.request)


def take_key(db: peewee.Database, key: IdempotencyKey, job: Job) -> str | None:
    """Take the key for this job, inside the caller's transaction; returns the UUID of the job that has it already.

    Raises ``KeyReused`` if that job is of another request.
    """
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
    """Delete at most ``limit`` keys that were taken ``before`` that time, the oldest first; returns how many."""
    old = _I.select(_I.digest).where(_I.created < before).order_by(_I.created).limit(limit)
    digests = [row[0] for row in database.rows(old)]
    # A key that was taken again in the meantime stays.
    query = _I.delete().where(_I.digest.in_(digests), _I.created < before)
    return int(database.write(lambda db: execute_with_index_hint(db, query)).rowcount) if digests else 0


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
