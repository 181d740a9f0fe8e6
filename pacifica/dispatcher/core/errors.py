"""Every error that leaves a layer of this package.

DispatcherError
├── ConfigError              the configuration has faults; all of them are listed
├── BadRequest               the request cannot be read
│   ├── BadId                an id is not a UUID
│   ├── BadQuery             a query parameter is unknown or not valid
│   │   └── BadCursor        the cursor was not made for this search
│   └── BatchTooLarge        the batch has more items than the configuration allows
├── NotFound                 the request names something that does not exist
│   ├── UnknownTask          no task of that name is registered
│   ├── UnusableTask         the signature of the task cannot be used
│   ├── UnknownJob           no job has that UUID
│   └── PurgedJob            the job has ended and was purged
├── BadDispatch              the arguments or options of a dispatch are not valid
│   ├── BadArguments         the arguments do not fit the task; each fault is named
│   └── BadOptions           the options are not valid; each fault is named
├── NothingValid             no item of a batch can be dispatched; each item's reason is listed
├── KeyReused                an Idempotency-Key came again with another request
├── AlreadyFinal             the job has ended; it cannot be cancelled
├── EndedWithoutResult       the job ended without a result
├── Unauthorized             the caller is not known
├── Forbidden                the caller is known and is not allowed to do this
│   ├── MissingScope         the caller's scopes do not cover the request
│   ├── CrossSite            a browser sends the request on behalf of another site
│   └── ForeignHost          the request names a host that is not this one
├── GetDispatchOff           a setting allows only POST to dispatch
├── TooManyRequests          the caller's rate limit is used up
├── Unavailable              the service cannot do this now; try again later
│   ├── CannotStart          the service lacks something that it needs to start, and logs what
│   ├── DatabaseUnavailable  the database cannot be reached or written
│   │   └── DatabaseReplaced  the SQLite file was removed or replaced while the service used it
│   ├── BrokerUnavailable    the broker cannot be reached or does not answer
│   ├── SchemaMismatch       another version of the service made the database's tables
│   │   ├── SchemaTooOld     an older one; dbsync migrates them
│   │   ├── SchemaTooNew     a newer one; install it, or migrate back
│   │   └── SchemaUnknown    a development version, with migrations that this version does not have
│   └── TooManyWaiting       as many requests wait or stream as the configuration allows
├── MigrationFailed          a migration of the database failed
├── MessageRefused           the broker answers, and refuses this message
└── BadResult                the task's return value is not JSON, or too large

The ``code`` of a class is part of the HTTP contract: it ends the ``type`` of the problem document (RFC 9457) and
never changes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from .faults import MAX_FAULTS, MAX_MESSAGE, MAX_PLACE, ConfigFault, Fault
from .picklable_error import PicklableError


class DispatcherError(PicklableError):
    """The root of the tree; ``str()`` of an instance is a sentence for a person."""

    code: ClassVar[str] = "error"

    def __init_subclass__(cls, code: str) -> None:
        super().__init_subclass__()
        cls.code = code

    def details(self) -> Mapping[str, Any]:
        """Further members of the problem document, as JSON values."""
        return {}


class ConfigError(DispatcherError, code="configuration"):
    """The configuration has faults; ``faults`` holds all of them."""

    def __init__(self, faults: Sequence[ConfigFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in faults))


class BadRequest(DispatcherError, code="bad-request"):
    """The request cannot be read; nothing was stored."""


class BadId(BadRequest, code="bad-id"):
    """An id is not a UUID."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text[:80]!r} is not a UUID. A job's id looks like 0192f0c1-7c1e-7b60-9f3e-2b1a6d0c4e5f.")


class BadQuery(BadRequest, code="bad-query"):
    """A query parameter is unknown to the route, or its value is not valid."""


class BadCursor(BadQuery, code="bad-cursor"):
    """This service did not make the cursor, or made it for another search."""


class BatchTooLarge(BadRequest, code="batch-too-large"):
    """The batch has more items than the configuration allows; nothing was stored."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The batch has more than {limit} items, the most that batch_limit allows. Send it in parts.")


class NotFound(DispatcherError, code="not-found"):
    """The request names something that does not exist."""


class UnknownTask(NotFound, code="unknown-task"):
    """No task of that name is registered."""

    def __init__(self, name: str, near: Sequence[str] = ()) -> None:
        hint = f"Did you mean {' or '.join(near)}?" if near else "GET /tasks lists the registered tasks."
        super().__init__(f"No task named {name[:191]!r} is registered. {hint}")


class UnusableTask(NotFound, code="unusable-task"):
    """The task is registered, but an annotation of its signature cannot be used, or its ``check`` does not fit it."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Task {name} cannot be dispatched: its signature cannot be used. The log of the server says why; so does "
            "pacifica-dispatcher-cmd config check."
        )


class UnknownJob(NotFound, code="unknown-job"):
    """No job has that UUID."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"No job has the UUID {uuid}.")


class PurgedJob(NotFound, code="purged-job"):
    """The job has ended and was purged; only its UUID is kept, and that for a limited time."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"Job {uuid} has ended and was purged; only its id is still known.")


class BadDispatch(DispatcherError, code="bad-dispatch"):
    """The arguments or options of a dispatch are not valid; ``faults`` holds the first faults, each shortened.

    ``opening`` begins the sentence. There are ``more`` faults than those given; ``None`` means very many.
    """

    faults: Sequence[Fault] = ()

    def __init__(self, opening: str, faults: Sequence[Fault], more: int | None = 0) -> None:
        self.faults = tuple(Fault(one.where[:MAX_PLACE], one.message[:MAX_MESSAGE]) for one in faults[:MAX_FAULTS])
        self._opening = opening
        self._number = None if more is None else len(faults) + more
        super().__init__(self.sentence())

    def sentence(self, most: int = MAX_FAULTS) -> str:
        """A sentence that names at most so many faults."""
        named = "; ".join(f"{fault.where}: {fault.message}" for fault in self.faults[:most])
        more = "many" if self._number is None else self._number - min(most, len(self.faults))
        return f"{self._opening}: {named}{f'; and {more} more' if more else ''}."

    def details(self, most: int = MAX_FAULTS) -> Mapping[str, Any]:
        """The member ``errors``, with at most so many faults."""
        return {"errors": [{"where": fault.where, "message": fault.message} for fault in self.faults[:most]]}


class BadArguments(BadDispatch, code="bad-arguments"):
    """The arguments do not fit the task's signature."""

    def __init__(self, task: str, faults: Sequence[Fault], more: int | None = 0) -> None:
        super().__init__(f"The arguments do not fit task {task}", faults, more)


class BadOptions(BadDispatch, code="bad-options"):
    """The options of the dispatch are not valid."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("The options cannot be used", faults)


class NothingValid(DispatcherError, code="nothing-valid"):
    """No item of a batch can be dispatched; ``jobs`` holds the reason for each, in the order of the batch."""

    def __init__(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        self.jobs = jobs
        super().__init__("No item of the batch can be dispatched. The member jobs has the reason for each, in order.")

    def details(self) -> Mapping[str, Any]:
        return {"jobs": list(self.jobs)}


class KeyReused(DispatcherError, code="key-reused"):
    """An ``Idempotency-Key`` came again with another request."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The Idempotency-Key {key[:80]!r} was used for another request; send a new key.")


class AlreadyFinal(DispatcherError, code="already-final"):
    """The job has ended; it cannot be cancelled."""

    def __init__(self, uuid: str, state: str) -> None:
        self.state = state
        super().__init__(f"Job {uuid} has ended as {state}; there is nothing to cancel.")

    def details(self) -> Mapping[str, Any]:
        return {"state": self.state}


class EndedWithoutResult(DispatcherError, code="no-result"):
    """The job ended without a result, in this ``state`` and with this ``error``."""

    def __init__(self, uuid: str, state: str, error: Mapping[str, Any] | None) -> None:
        self.state = state
        self.error = error
        reason = f": {error['type']}: {error['message']}" if error else ""
        super().__init__(f"Job {uuid} ended as {state}{reason.removesuffix('.')}.")

    def details(self) -> Mapping[str, Any]:
        return {"state": self.state, "error": self.error}


class Unauthorized(DispatcherError, code="unauthorized"):
    """The caller is not known; ``invalid``: the request's token is unknown, revoked or expired."""

    def __init__(self, message: str, *, invalid: bool = False) -> None:
        self.invalid = invalid
        super().__init__(message)


class Forbidden(DispatcherError, code="forbidden"):
    """The caller is known and is not allowed to do this."""


class MissingScope(Forbidden, code="missing-scope"):
    """The caller's scopes do not cover the request; ``plain_scope`` is the missing scope without its task."""

    def __init__(self, scope: str, task: str | None = None) -> None:
        self.plain_scope = scope
        self.scope = scope if task is None else f"{scope}:{task[:191]}"
        super().__init__(f"This needs the scope {self.scope}, which the caller does not have.")

    def details(self) -> Mapping[str, Any]:
        return {"scope": self.scope}


class CrossSite(Forbidden, code="cross-site"):
    """A browser sends the request on behalf of another site."""


class ForeignHost(Forbidden, code="foreign-host"):
    """The ``Host`` of the request is not one of this server's."""


class GetDispatchOff(DispatcherError, code="get-dispatch-off"):
    """``GET /dispatch`` is switched off by a setting."""

    def __init__(self, task: str) -> None:
        super().__init__(
            f"GET dispatches no job here ([auth] get_dispatch = off). Send POST /dispatch/{task[:191]} with the "
            'arguments as JSON: {"args": [], "kwargs": {}}.'
        )


class TooManyRequests(DispatcherError, code="too-many-requests"):
    """The caller's rate limit is used up; ``retry_after`` is in whole seconds."""

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(f"The rate limit is used up; try again in {retry_after} s.")


class Unavailable(DispatcherError, code="unavailable"):
    """The service cannot do this now; ``retry_after`` is in seconds."""

    retry_after: ClassVar[int] = 2


class CannotStart(Unavailable, code="cannot-start"):
    """The service lacks something that it needs to start, and logs what; it tries again at each request."""

    def __init__(self) -> None:
        super().__init__("Pacifica Dispatcher cannot start; its log says why.")


class DatabaseUnavailable(Unavailable, code="database-unavailable"):
    """The database cannot be reached, is locked for too long, or cannot be written; nothing was stored."""


class DatabaseReplaced(DatabaseUnavailable, code="database-replaced"):
    """The SQLite file was removed or replaced while the service used it."""


class BrokerUnavailable(Unavailable, code="broker-unavailable"):
    """The broker cannot be reached or does not answer; accepted jobs wait in the outbox."""


class SchemaMismatch(Unavailable, code="schema-mismatch"):
    """Another version of this service made the database's tables."""


class SchemaTooOld(SchemaMismatch, code="schema-too-old"):
    """An older version of this service made the tables."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(
            f"The database's schema is too old: it is version {found}, and this version of Pacifica Dispatcher needs "
            f"version {expected}. Stop web servers and workers, make a backup, and run: pacifica-dispatcher-cmd dbsync."
        )


class SchemaTooNew(SchemaMismatch, code="schema-too-new"):
    """A newer version of this service changed the tables."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(
            f"The database's schema is too new: it is version {found}, and this version of Pacifica Dispatcher knows "
            f"only version {expected}. Install the newer version, or migrate back with it: "
            f"pacifica-dispatcher-cmd dbsync --to {expected}."
        )


class SchemaUnknown(SchemaMismatch, code="schema-unknown"):
    """A development version of this service, with other migrations, made the tables."""

    def __init__(self, migration: str) -> None:
        super().__init__(
            f"The database's schema was made by a development version of Pacifica Dispatcher: this version does not "
            f"have its migration {migration}. Use an empty database, or install the version that made this one."
        )


class MigrationFailed(DispatcherError, code="migration-failed"):
    """A migration failed; ``kept``: the database could not undo the part that was done."""

    def __init__(self, name: str, reason: str, *, kept: bool) -> None:
        outcome = "The part that was done stays, and the next run repeats it" if kept else "Nothing was changed"
        super().__init__(f"Migration {name} failed: {reason.strip()[:200].rstrip('.')}. {outcome}.")


class MessageRefused(DispatcherError, code="message-refused"):
    """The broker answers, and refuses this message; its job waits in the outbox."""


class TooManyWaiting(Unavailable, code="too-many-waiting"):
    """As many requests wait or stream as the configuration allows."""

    def __init__(self, places: int) -> None:
        super().__init__(f"{places} requests wait or stream already, the most that this server allows. Try later.")


class BadResult(DispatcherError, code="bad-result"):
    """The task's return value is not JSON, or larger than the limit."""
