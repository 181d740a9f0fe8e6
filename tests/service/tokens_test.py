"""Tokens on a real record: made once, found by digest, revoked within seconds."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from pacifica.dispatcher.core.permissions import Grant
from pacifica.dispatcher.service.tokens import KEEP, KEPT, Tokens
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.tokens import TokenStore


@dataclass
class Clock:
    """A clock that stands still."""

    time: float = 0.0

    def __call__(self) -> float:
        return self.time


@dataclass
class Desk:
    """Tokens, and the clock of their cache."""

    tokens: Tokens
    database: Database
    clock: Clock = field(default_factory=Clock)


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    """Tokens on a fresh database of each kind."""
    with closing(Database(database_url)) as database:
        database.wait_until_up(1, 0.0)
        clock = Clock()
        yield Desk(Tokens(TokenStore(database), clock), database, clock)


def test_a_token_tells_whose_it_is_until_it_is_revoked(desk: Desk) -> None:
    text, made = desk.tokens.create("lab", ["read", "dispatch:lab.*", "read"], own=True, lifetime=60)
    assert desk.tokens.all() == [made]
    assert text not in repr(made)
    caller = desk.tokens.caller(text)
    assert caller is not None
    assert (caller.name, caller.grants, caller.own) == ("token:lab", (Grant("read"), Grant("dispatch", "lab.*")), True)
    assert desk.tokens.revoke(made.id) == 1
    desk.clock.time += KEEP
    assert desk.tokens.caller(text) is None
    assert desk.tokens.revoke(made.id) == 0


def test_tokens_of_one_name_are_revoked_together(desk: Desk) -> None:
    for name in ("lab", "lab", "other"):
        desk.tokens.create(name, ["read"])
    assert desk.tokens.revoke("lab") == 2
    assert [token.name for token in desk.tokens.all()] == ["other"]


def test_an_expired_token_is_nobodys(desk: Desk) -> None:
    text, _ = desk.tokens.create("late", ["read"], lifetime=0)
    assert desk.tokens.caller(text) is None


def test_what_is_no_token_is_not_looked_up_and_what_is_remembered_is_bounded(sqlite_url: str) -> None:
    with closing(Database(sqlite_url)) as database:
        tokens = Tokens(TokenStore(database))  # Without tables a look-up would raise.
        assert [tokens.caller(text) for text in ("", "pd_", "x" * 46, "pd_" + "é" * 43)] == [None] * 4
        database.wait_until_up(1, 0.0)
        for number in range(KEPT + 5):
            assert tokens.caller(f"pd_{number:043}") is None
        assert len(tokens._seen) == KEPT


@pytest.mark.parametrize(
    ("name", "scopes"), [("", ["read"]), ("a b", ["read"]), ("x\n", ["read"]), ("x", []), ("x", ["w"])]
)
def test_a_token_that_cannot_be_is_refused(sqlite_url: str, name: str, scopes: list[str]) -> None:
    with closing(Database(sqlite_url)) as database, pytest.raises(ValueError, match=r"name|scope"):
        Tokens(TokenStore(database)).create(name, scopes)
