"""The bearer tokens: each row has the digest of a token, never the token itself."""

from dataclasses import dataclass

import peewee

from .. import orm
from ..core.permissions import Grant, parse_grants
from .database import Database

_T = orm.Token
_COLUMNS = (_T.id, _T.name, _T.digest, _T.scopes, _T.own, _T.expires, _T.created)


@dataclass(frozen=True, slots=True)
class Token:
    """A token's digest and its rights; times are microseconds since 1970 in UTC."""

    id: str
    name: str
    digest: str
    grants: tuple[Grant, ...]
    own: bool
    expires: int | None
    created: int


class TokenStore:
    """The tokens of one database; raises ``DatabaseUnavailable`` as ``JobStore`` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, token: Token) -> None:
        """Store a new token."""
        row = {
            "id": token.id,
            "name": token.name,
            "digest": token.digest,
            "scopes": " ".join(map(str, token.grants)),
            "own": token.own,
            "expires": token.expires,
            "created": token.created,
        }
        self._database.write(_T.insert(row).execute, durable=True)

    def find(self, digest: str) -> Token | None:
        """The token with that digest."""
        return next(iter(self._read(_T.select(*_COLUMNS).where(_T.digest == digest))), None)

    def all(self) -> list[Token]:
        """Every token, oldest first."""
        return self._read(_T.select(*_COLUMNS).order_by(_T.created, _T.id))

    def remove(self, which: str) -> int:
        """Delete the token with that id, or all tokens with that name; returns how many."""
        query = _T.delete().where((_T.id == which) | (_T.name == which))
        return int(self._database.write(query.execute, durable=True))

    def _read(self, query: peewee.Query) -> list[Token]:
        return [
            Token(uuid, name, digest, parse_grants(scopes.split()), bool(own), expires, created)
            for uuid, name, digest, scopes, own, expires, created in self._database.rows(query)
        ]
