"""Every error that leaves a layer of this package.

DispatcherError
├── ConfigError              the configuration has faults; all of them are listed
├── BadRequest               the request cannot be read
│   ├── BadId                what should be a UUID is none
│   ├── BadQuery             a query parameter is not one of the route's
│   │   └── BadCursor        the cursor of a search was not made for it
│   └── BatchTooLarge        the batch has more items than the configuration allows
├── NotFound
│   ├── UnknownTask          no task of that name is registered
│   ├── UnknownJob           no job has that UUID
│   └── PurgedJob            the job has ended and was purged
├── BadDispatch              what a dispatch says beside its task cannot be used
│   ├── BadArguments         the arguments do not fit the task; each is named
│   └── BadOptions           an option of the dispatch cannot be used; each is named
├── NothingValid             no item of a batch can be dispatched; each is told why
├── KeyReused                an Idempotency-Key came again with another request
├── AlreadyFinal             the job has ended; it cannot be cancelled
├── EndedWithoutResult       the job ended without a result
├── Unauthorized             the caller is not known
├── Forbidden                the caller is known, and may not
│   ├── MissingScope         the caller's scopes do not cover it
│   ├── CrossSite            a browser asks on behalf of another site
│   └── ForeignHost          the request names a host that is not this one
├── TooManyRequests          the caller's rate limit is used up
├── Unavailable              try again later
│   ├── CannotStart          the service lacks what it needs to start; its log tells what
│   ├── DatabaseUnavailable  the database cannot be reached, or cannot be written
│   ├── BrokerUnavailable    the broker cannot be reached, or does not answer
│   ├── SchemaMismatch       the database's tables are those of another version
│   │   ├── SchemaTooOld     of an older one: dbsync mends it
│   │   ├── SchemaTooNew     of a newer one: installing that mends it
│   │   └── SchemaUnknown    of a development version: no migration leads from it
│   └── TooManyWaiting       as many requests wait or stream as the configuration allows
├── MigrationFailed          a step from one schema to the next cannot be made
├── MessageRefused           the broker is there, and does not take this message
└── Rejected                 what a worker reports cannot be stored
    └── BadResult            the task's return value is not storable JSON

A class's ``code`` is part of the HTTP contract: it ends the ``type`` of the problem document
(RFC 9457) and does not change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


class DispatcherError(Exception):
    """The root; ``str()`` of any instance is a sentence for a person."""

    code: ClassVar[str] = "error"

    def details(self) -> Mapping[str, Any]:
        """Members that the problem document carries beside its standard ones; JSON values."""
        return {}


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a request: where it is, what was given is wrong how."""

    where: str
    message: str


@dataclass(frozen=True)
class ConfigFault:
    """One setting that cannot be used, with the value as it was written."""

    section: str
    key: str
    value: str
    message: str

    def __str__(self) -> str:
        return f"[{self.section}] {self.key} = {self.value}: {self.message}"


class ConfigError(DispatcherError):
    """The configuration has faults; ``faults`` holds every one that was found."""

    code = "configuration"

    def __init__(self, faults: Sequence[ConfigFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in faults))


class BadRequest(DispatcherError):
    """The request cannot be read; nothing was stored."""

    code = "bad-request"


class BadId(BadRequest):
    """What should be a UUID is none."""

    code = "bad-id"

    def __init__(self, text: str) -> None:
        super().__init__(f"{text[:80]!r} is not a UUID; one looks like 0192f0c1-7c1e-7b60-9f3e-2b1a6d0c4e5f.")


class BadQuery(BadRequest):
    """A query parameter is not one of the route's."""

    code = "bad-query"


class BadCursor(BadQuery):
    """A cursor that this service did not make, or made for another search."""

    code = "bad-cursor"


class BatchTooLarge(BadRequest):
    """The batch has more items than the configuration allows; nothing was stored."""

    code = "batch-too-large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The batch has more than {limit} items, which is the most that batch_limit allows.")


class NotFound(DispatcherError):
    """What was asked for does not exist."""

    code = "not-found"


class UnknownTask(NotFound):
    """No task of that name is registered."""

    code = "unknown-task"

    def __init__(self, name: str, near: Sequence[str] = ()) -> None:
        hint = f" Did you mean {' or '.join(near)}?" if near else " GET /tasks lists those that are."
        super().__init__(f"No task named {name[:191]!r} is registered.{hint}")


class UnknownJob(NotFound):
    """No job has that UUID."""

    code = "unknown-job"

    def __init__(self, uuid: str) -> None:
        super().__init__(f"No job has the UUID {uuid}.")


class PurgedJob(NotFound):
    """The job has ended and was purged; nothing but its UUID is remembered, and that only for a while."""

    code = "purged-job"

    def __init__(self, uuid: str) -> None:
        super().__init__(f"Job {uuid} has ended and was purged; nothing else is remembered of it.")


MOST_FAULTS, MOST_OF_ITEM = 10, 3
"""How many faults are told of a dispatch, and of one among many in a batch: an answer stays in proportion."""
LONGEST_PLACE, LONGEST_MESSAGE = 80, 1000
"""Characters of a fault that are told."""


class BadDispatch(DispatcherError):
    """What a dispatch says beside its task cannot be used; ``faults`` names the first of what is wrong."""

    code = "bad-dispatch"

    def __init__(self, told: str, faults: Sequence[Fault]) -> None:
        self._told = told
        self._number = len(faults)
        self.faults = tuple(
            Fault(fault.where[:LONGEST_PLACE], fault.message[:LONGEST_MESSAGE]) for fault in faults[:MOST_FAULTS]
        )
        super().__init__(self.sentence())

    def sentence(self, most: int = MOST_FAULTS) -> str:
        """What is wrong, with at most so many faults."""
        first = self.faults[:most]
        told = "; ".join(f"{fault.where}: {fault.message}" for fault in first)
        more = self._number - len(first)
        return f"{self._told}: {told}{f'; and {more} more' if more else ''}."

    def details(self, most: int = MOST_FAULTS) -> Mapping[str, Any]:
        """At most so many of the faults."""
        return {"errors": [{"where": fault.where, "message": fault.message} for fault in self.faults[:most]]}


class BadArguments(BadDispatch):
    """The arguments do not fit the task's signature."""

    code = "bad-arguments"

    def __init__(self, task: str, faults: Sequence[Fault]) -> None:
        self.task = task
        super().__init__(f"The arguments do not fit task {task}", faults)


class BadOptions(BadDispatch):
    """An option of the dispatch cannot be used."""

    code = "bad-options"

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("The options cannot be used", faults)


class NothingValid(DispatcherError):
    """No item of a batch can be dispatched; ``jobs`` tells why, one entry for each item."""

    code = "nothing-valid"

    def __init__(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        self.jobs = jobs
        super().__init__("No item of the batch can be dispatched; the member jobs tells why, in their order.")

    def details(self) -> Mapping[str, Any]:
        """One entry for each item."""
        return {"jobs": list(self.jobs)}


class KeyReused(DispatcherError):
    """An ``Idempotency-Key`` came again with another request."""

    code = "key-reused"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"The Idempotency-Key {key[:80]!r} was used for another request; send a new key with this one."
        )


class AlreadyFinal(DispatcherError):
    """The job has ended; it cannot be cancelled."""

    code = "already-final"

    def __init__(self, uuid: str, state: str) -> None:
        self.state = state
        super().__init__(f"Job {uuid} has ended as {state}; there is nothing to cancel.")

    def details(self) -> Mapping[str, Any]:
        return {"state": self.state}


class EndedWithoutResult(DispatcherError):
    """The job ended without a result; ``state`` and ``error`` tell how."""

    code = "no-result"

    def __init__(self, uuid: str, state: str, error: Mapping[str, Any] | None) -> None:
        self.state = state
        self.error = error
        told = f": {error['type']}: {error['message']}" if error else ""
        super().__init__(f"Job {uuid} ended as {state}{told.removesuffix('.')}.")

    def details(self) -> Mapping[str, Any]:
        return {"state": self.state, "error": self.error}


class Unauthorized(DispatcherError):
    """The caller is not known; ``invalid`` when a token was sent and is not, or no longer, one of ours."""

    code = "unauthorized"

    def __init__(self, message: str, *, invalid: bool = False) -> None:
        self.invalid = invalid
        super().__init__(message)


class Forbidden(DispatcherError):
    """The caller is known, and may not do it."""

    code = "forbidden"


class MissingScope(Forbidden):
    """The caller's scopes do not cover the request; ``plain_scope`` is the one that is missing, without a task."""

    code = "missing-scope"

    def __init__(self, scope: str, task: str | None = None) -> None:
        self.plain_scope = scope
        self.scope = scope if task is None else f"{scope}:{task[:191]}"
        super().__init__(f"This takes the scope {self.scope}, which the caller does not have.")

    def details(self) -> Mapping[str, Any]:
        return {"scope": self.scope}


class CrossSite(Forbidden):
    """A browser asks for a change on behalf of another site."""

    code = "cross-site"


class ForeignHost(Forbidden):
    """The ``Host`` of the request is not one of this server's."""

    code = "foreign-host"


class TooManyRequests(DispatcherError):
    """The caller's rate limit is used up; ``retry_after`` is in whole seconds."""

    code = "too-many-requests"

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(f"The rate limit is used up; try again in {retry_after} s.")


class Unavailable(DispatcherError):
    """The service cannot do it now; ``retry_after`` is in seconds."""

    code = "unavailable"
    retry_after: ClassVar[int] = 2


class CannotStart(Unavailable):
    """The service lacks what it needs to start, and tries again at each request; its log tells what."""

    code = "cannot-start"

    def __init__(self) -> None:
        super().__init__("Pacifica Dispatcher is here and cannot start; its log tells why.")


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached, is locked for too long, or cannot be written; nothing was accepted."""

    code = "database-unavailable"


class BrokerUnavailable(Unavailable):
    """The broker cannot be reached, or does not answer; what was accepted waits in the outbox."""

    code = "broker-unavailable"


class SchemaMismatch(Unavailable):
    """The database's tables are those of another version of this service."""

    code = "schema-mismatch"


class SchemaTooOld(SchemaMismatch):
    """An older version of this service has made the tables."""

    code = "schema-too-old"

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(
            f"The database's schema is too old: it is version {found}, and this version of Pacifica Dispatcher needs "
            f"version {expected}. Stop web servers and workers, make a backup, and run: pacifica-dispatcher-cmd dbsync."
        )


class SchemaTooNew(SchemaMismatch):
    """A newer version of this service has changed the tables."""

    code = "schema-too-new"

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(
            f"The database's schema is too new: it is version {found}, and this version of Pacifica Dispatcher knows "
            f"no other than version {expected}. Install the version that made it, or let that one go back: "
            f"pacifica-dispatcher-cmd dbsync --to {expected}."
        )


class SchemaUnknown(SchemaMismatch):
    """A development version of this service, with other migrations, has made the tables."""

    code = "schema-unknown"

    def __init__(self, migration: str) -> None:
        super().__init__(
            f"The database's schema was made by a development version of Pacifica Dispatcher: this version does not "
            f"have its migration {migration}. Use an empty database, or install the version that made this one."
        )


class MigrationFailed(DispatcherError):
    """A step from one schema to the next cannot be made; ``kept`` when the database cannot undo a part of it."""

    code = "migration-failed"

    def __init__(self, name: str, reason: str, *, kept: bool) -> None:
        outcome = "What was done of it stays, and is done again" if kept else "Nothing was changed"
        super().__init__(f"Migration {name} failed: {reason.strip()[:200].rstrip('.')}. {outcome}.")


class MessageRefused(DispatcherError):
    """The broker is there, and does not take this message; its job waits in the outbox."""

    code = "message-refused"


class TooManyWaiting(Unavailable):
    """As many requests wait or stream as the configuration allows."""

    code = "too-many-waiting"

    def __init__(self, places: int) -> None:
        super().__init__(f"{places} requests wait or stream here already, which is the most that this server allows.")


class Rejected(DispatcherError):
    """What a worker reports cannot be stored."""

    code = "rejected"


class BadResult(Rejected):
    """The task's return value is not JSON, or larger than the limit."""

    code = "bad-result"
