"""Bearer tokens (RFC 6750): shown once, when they are created, and looked up by their digest.

A token has 256 random bits and cannot be guessed, so one round of SHA-256 protects it as well as a slow hash would
(docs/decisions/0004-tokens.md).
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
"""The prefix of every token, by which secret scanners and the redaction of the logs recognize one."""
KEEP = 3.0
"""How long a lookup is cached, in seconds: a revoked token continues to work for at most that long."""
KEPT = 1_000
"""The maximum number of cached lookups."""
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,100}")
_TOKEN = re.compile(r"pd_[A-Za-z0-9_-]{43}")


class Tokens:
    """Creates, lists and revokes tokens, and finds the caller of one; raises ``DatabaseUnavailable``."""

    def __init__(self, store: TokenStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, tuple[float, Token | None]] = OrderedDict()

    def create(
        self, name: str, scopes: Iterable[str], *, own: bool = False, lifetime: float | None = None
    ) -> tuple[str, Token]:
        """Create a token; returns its text, which is not stored, and its row. ``lifetime`` is in seconds.

        Raises ``ValueError`` with a sentence.
        """
        if not _NAME.fullmatch(name):
            raise ValueError("a name has 1 to 100 characters: letters A-Z and a-z, digits, and _ . @ -")
        grants = parse_grants(scopes)
        if not grants:
            raise ValueError("a token needs at least one scope")
        text = PREFIX + secrets.token_urlsafe(32)
        at = now()
        ends = None if lifetime is None else at + int(lifetime * 1_000_000)
        token = Token(new_uuid(), name, digest(text), grants, own, ends, at)
        self._store.add(token)
        return text, token

    def all(self) -> list[Token]:
        """All tokens, oldest first, including expired ones."""
        return self._store.all()

    def revoke(self, which: str) -> int:
        """Delete the token with that id, or all with that name; returns their number."""
        return self._store.remove(which)

    def caller(self, text: str) -> Caller | None:
        """The caller to whom the token belongs; ``None`` if it is unknown, revoked or expired."""
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
    """The SHA-256 digest of a token in hexadecimal, as the database stores it."""
    return hashlib.sha256(text.encode()).hexdigest()
