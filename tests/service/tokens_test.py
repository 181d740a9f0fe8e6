"""Tokens on a real record are shown once, found by their digest, and revoked within seconds."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from pacifica.dispatcher.core.permissions import Grant
from pacifica.dispatcher.service.tokens import KEEP, KEPT, Tokens
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.tokens import Token, TokenStore


@dataclass
class Clock:
    """A clock that stands still."""

    time: float = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    """The clock of the tokens' cache."""
    return Clock()


@pytest.fixture
def tokens(database_url: str, clock: Clock) -> Iterator[Tokens]:
    """Tokens on a fresh database of each kind."""
    with closing(Database(database_url)) as database:
        database.wait_until_up(1, 0.0)
        yield Tokens(TokenStore(database), clock)


def test_token_identifies_its_caller_until_it_is_revoked(tokens: Tokens, clock: Clock) -> None:
    text, made = tokens.create("lab", ["read", "dispatch:lab.*", "read"], own=True, lifetime=60)
    assert tokens.all() == [made]
    assert text not in repr(made)
    caller = tokens.caller(text)
    assert caller is not None
    assert (caller.name, caller.grants, caller.own) == ("token:lab", (Grant("read"), Grant("dispatch", "lab.*")), True)
    assert tokens.revoke(made.id) == 1
    clock.time += KEEP
    assert tokens.caller(text) is None
    assert tokens.revoke(made.id) == 0


def test_tokens_of_one_name_are_revoked_together(tokens: Tokens) -> None:
    for name in ("lab", "lab", "other"):
        tokens.create(name, ["read"])
    assert tokens.revoke("lab") == 2
    assert [token.name for token in tokens.all()] == ["other"]


def test_expired_token_has_no_caller(tokens: Tokens) -> None:
    text, _ = tokens.create("late", ["read"], lifetime=0)
    assert tokens.caller(text) is None


class CountingStore(TokenStore):
    """A token store that counts its lookups."""

    lookups = 0

    def find(self, digest: str) -> Token | None:
        self.lookups += 1
        return super().find(digest)


def test_malformed_token_is_not_looked_up_and_the_cache_is_bounded(sqlite_url: str, clock: Clock) -> None:
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        store = CountingStore(database)
        tokens = Tokens(store, clock)
        assert [tokens.caller(text) for text in ("", "pd_", "x" * 46, "pd_" + "é" * 43)] == [None] * 4
        assert store.lookups == 0
        for number in range(KEPT + 5):
            assert tokens.caller(f"pd_{number:043}") is None
        assert store.lookups == KEPT + 5
        tokens.caller(f"pd_{5:043}")
        assert store.lookups == KEPT + 5, "the newest lookups are cached"
        tokens.caller(f"pd_{4:043}")
        assert store.lookups == KEPT + 6, "older ones are not"


@pytest.mark.parametrize(
    ("name", "scopes"), [("", ["read"]), ("a b", ["read"]), ("x\n", ["read"]), ("x", []), ("x", ["w"])]
)
def test_bad_name_or_scope_of_a_token_is_refused(sqlite_url: str, name: str, scopes: list[str]) -> None:
    with closing(Database(sqlite_url)) as database, pytest.raises(ValueError, match=r"name|scope"):
        Tokens(TokenStore(database)).create(name, scopes)
