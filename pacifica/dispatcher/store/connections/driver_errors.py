"""What an error of a database means: for people, and for whoever may try again."""

from collections.abc import Iterator

from playhouse.pool import MaxConnectionsExceeded

DEADLOCK = 1213
"""MySQL's number for it."""
SQL_STATES = frozenset({"40P01", "40001"})
"""PostgreSQL's: a deadlock, and a transaction that cannot be put in a line with others."""
SILENCE = ("timed out", "timeout expired")
"""How PyMySQL and psycopg say that no answer came in time."""
SIGNS = (
    ("unknown database", "missing", "there is no database of that name"),
    ("fatal:  role ", "denied", "it does not let that user in"),
    ("authentication failed", "denied", "it does not let that user in"),
    ("access denied", "denied", "it does not let that user in"),
    ('" does not exist', "missing", "there is no database of that name"),
    ("locked", "locked", "it is locked by another writer"),
    ("readonly", "read_only", "it is read-only"),
    ("read-only", "read_only", "it is read-only"),
    ("read only", "read_only", "it is read-only"),
    ("full", "full", "the disk is full"),
    ("unable to open", "unopened", "its file cannot be opened"),
    ("not a database", "damaged", "its file is no SQLite database"),
    ("malformed", "damaged", "its file is damaged"),
    *((sign, "silent", "it did not answer in time") for sign in SILENCE),
    ("connection", "unreachable", "it cannot be reached"),
)
"""What a driver's text holds, the kind of failure that it is, and how people are told of it."""


def reason(error: BaseException) -> str:
    """A short word for people that carries no path, no SQL and no address."""
    if isinstance(error, MaxConnectionsExceeded):
        return "all its connections are in use"
    told = _told(error)
    return next((sentence for sign, _, sentence in SIGNS if sign in told), "it answered with an error")


def kind(error: BaseException) -> str:
    """One word of few, to count by."""
    if any(isinstance(one, MaxConnectionsExceeded) for one in _with_causes(error)):
        return "exhausted"
    told = _told(error)
    return next((word for sign, word, _ in SIGNS if sign in told), "other")


def is_silence(error: BaseException) -> bool:
    """Whether no answer came in time: to ask again would take as long once more."""
    told = _told(error)
    return any(sign in told for sign in SILENCE)


def may_be_dropped(error: BaseException) -> bool:
    """Whether a connection that was held may have been dropped by the server: drivers say so in many ways."""
    return kind(error) in {"unreachable", "other"} and not is_sacrifice(error)


def is_lock(error: BaseException) -> bool:
    """Whether another one has locked the file."""
    return kind(error) == "locked"


def is_read_only(error: BaseException) -> bool:
    """Whether what was to be written can only be read."""
    return "readonly" in _told(error)


def is_damage(error: BaseException) -> bool:
    """Whether the file is none that SQLite can read: to wait does not mend it."""
    return kind(error) == "damaged"


def is_sacrifice(error: BaseException) -> bool:
    """Whether the server has rolled the whole transaction back for the sake of another one."""
    return any(
        getattr(one, "sqlstate", None) in SQL_STATES or one.args[:1] == (DEADLOCK,) for one in _with_causes(error)
    )


def _told(error: BaseException) -> str:
    """The texts of an error and of those behind it: a full disk makes SQLite roll back, and PeeWee then cannot."""
    return " ".join(map(str, _with_causes(error))).lower()


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    behind: BaseException | None = error
    while behind is not None:
        yield behind
        behind = behind.__cause__ or behind.__context__
