"""Bearer tokens (RFC 6750): made once and shown once, looked up by their digest.

A token is 256 random bits, so that one round of SHA-256 keeps it as safe as a slow hash would: there is
nothing to guess (docs/decisions/0004-tokens.md).
"""

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from ..core.job import new_uuid, now
from ..core.permissions import Caller, parse_grants
from ..store.tokens import Token, TokenStore

PREFIX = "pd_"
"""What every token begins with, so that a scanner for leaked secrets, and the filter of our logs, know one."""
KEEP = 3.0
"""Seconds that what was looked up may be used again: a revoked token works for that long at most."""
KEPT = 1_000
"""How many tokens are remembered."""
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,100}")
_TOKEN = re.compile(r"pd_[A-Za-z0-9_-]{43}")


class Tokens:
    """Makes, lists and revokes tokens, and tells whose one is; raises ``DatabaseUnavailable``."""

    def __init__(self, store: TokenStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, tuple[float, Token | None]] = OrderedDict()

    def create(
        self, name: str, scopes: Iterable[str], *, own: bool = False, lifetime: float | None = None
    ) -> tuple[str, Token]:
        """A new token: its text, which is nowhere else, and its row. ``lifetime`` is in seconds.

        Raises ``ValueError`` with a sentence.
        """
        if not _NAME.fullmatch(name):
            raise ValueError("a name has 1 to 100 of the letters A-Z, a-z, digits, and _ . @ -")
        grants = parse_grants(scopes)
        if not grants:
            raise ValueError("a token takes at least one scope")
        text = PREFIX + secrets.token_urlsafe(32)
        at = now()
        ends = None if lifetime is None else at + int(lifetime * 1_000_000)
        token = Token(new_uuid(), name, digest(text), grants, own, ends, at)
        self._store.add(token)
        return text, token

    def all(self) -> list[Token]:
        """Every token, oldest first, those that have expired included."""
        return self._store.all()

    def revoke(self, which: str) -> int:
        """Forget the token with that id, or all with that name; how many there were."""
        return self._store.remove(which)

    def caller(self, text: str) -> Caller | None:
        """Whose token it is; ``None`` when it is none of ours, was revoked, or has expired."""
        if not _TOKEN.fullmatch(text):
            return None
        sought = digest(text)
        token = self._find(sought)
        if token is None or not hmac.compare_digest(token.digest, sought):
            return None
        if token.expires is not None and token.expires <= now():
            return None
        return Caller(f"token:{token.name}", token.grants, token.own)

    def _find(self, sought: str) -> Token | None:
        at = self._clock()
        with self._lock:
            until, token = self._seen.get(sought, (at, None))
        if at < until:
            return token
        token = self._store.find(sought)
        with self._lock:
            self._seen[sought] = (at + KEEP, token)
            self._seen.move_to_end(sought)
            if len(self._seen) > KEPT:
                self._seen.popitem(last=False)
        return token


def digest(text: str) -> str:
    """What the database keeps of a token."""
    return hashlib.sha256(text.encode()).hexdigest()
