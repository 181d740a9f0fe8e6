"""What no line may show: tokens, credentials, and the passwords in URLs. Rather too much is masked than too little."""

import re

MASK = "***"
_NAME = re.compile(r"(?i)pas+w|pwd|secret|token|authorization")
_GAP = r"(?:[\s\x00-\x20]|%(?:[01][0-9a-f]|20)|\+|\\[tnrfv]|\\x[0-9a-f]{2})+"
_SECRET = re.compile(rf"(?i)(pd_[\w-]{{4}})[\w-]+|((?:bearer|basic){_GAP}|(?:access_)?token=)[^\s&\"'\\]+")
_WORD = re.compile(r"\S+")


def names_a_secret(key: str) -> bool:
    """Whether a key says that its value is one."""
    return _NAME.search(key) is not None


def may_hold_a_secret(text: str) -> bool:
    """Whether ``mask`` may have to do with it: the expressions are dear, and most texts have nothing for them."""
    low = text.lower()
    return "://" in low or "pd_" in low or "bearer" in low or "basic" in low or "token=" in low


def mask(text: str) -> str:
    """The text with ``MASK`` for what is secret in it."""
    if not may_hold_a_secret(text):
        return text
    masked = _SECRET.sub(lambda found: f"{found[1] or found[2]}{MASK}", text)
    return _WORD.sub(_without_password, masked) if "://" in masked else masked


def _without_password(word: "re.Match[str]") -> str:
    """A password may hold any character, so it goes on until the last ``@``."""
    scheme, slashes, rest = word[0].partition("://")
    login, at, host = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    return f"{scheme}{slashes}{user}:{MASK}@{host}" if at and colon else word[0]
