"""Redaction: secrets in a text become ``***`` before the text is logged or shown.

Two functions mask a text. ``mask`` is for log lines and hides only what has the form of a secret. ``mask_passwords``
is for configuration texts and hides everything that could be a password, because such a text is likely to hold one.
"""

import re

MASK = "***"
_NAME = r"(?:pas+w|pwd|secret|token|authorization)"
_SECRET_NAME = re.compile(_NAME, re.IGNORECASE)

_GAP = r"(?:[\s\x00-\x20]|%(?:[01][0-9a-f]|20)|\+|\\[tnrfv]|\\x[0-9a-f]{2})+"
_CREDENTIAL = re.compile(rf"(?i)(pd_[\w-]{{4}})[\w-]+|((?:bearer|basic){_GAP}|(?:access_)?token=)[^\s&\"'\\]+")
_WORD = re.compile(r"\S+")

_ASSIGNMENT = rf"""(?<!\w)(?=\w*{_NAME})\w++["']?\s*+[=:]\s*+"""
_PASSWORDS = (
    re.compile(rf"^({_ASSIGNMENT}).*", re.IGNORECASE | re.DOTALL),
    re.compile(rf"""({_ASSIGNMENT})(?:"(?:\\.|[^"\\])*+"?|[^&\s]+)""", re.IGNORECASE),
)
_BARE_COLON = re.compile(r":(?!//)")
_NEXT_URL = re.compile(r"(?=;(?:amqps?|pyamqp|librabbitmq|rediss?|sentinel|database)[+\w]*+://)")
"""Where the next URL of a list of brokers begins; a ``;`` alone may be part of a password."""


def names_a_secret(key: str) -> bool:
    """Whether a key, such as ``password``, indicates that its value is a secret."""
    return _SECRET_NAME.search(key) is not None


def may_hold_a_secret(text: str) -> bool:
    """Whether ``mask`` could change the text; a fast check, because most texts contain no secret."""
    low = text.lower()
    return "://" in low or "pd_" in low or "bearer" in low or "basic" in low or "token=" in low


def mask(text: str) -> str:
    """Mask tokens of this service, ``Basic`` and ``Bearer`` credentials, and passwords in URLs."""
    if not may_hold_a_secret(text):
        return text
    masked = _CREDENTIAL.sub(lambda found: f"{found[1] or found[2]}{MASK}", text)
    return _WORD.sub(_without_password, masked) if "://" in masked else masked


def mask_passwords(text: str) -> str:
    """Mask every part of a configuration text that could be a password, even at the cost of masking too much."""
    for password in _PASSWORDS:
        text = password.sub(rf"\1{MASK}", text)
    return "".join(map(_without_any_password, _NEXT_URL.split(text)))


def mask_value(key: str, text: str) -> str:
    """Mask the value of a setting in the same way; all of it if the setting's name indicates a secret."""
    return mask_passwords(f"{key} = {text}").removeprefix(f"{key} = ")


def without_login(url: str) -> str:
    """The URL without the user and password before its host."""
    scheme, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"


def _without_password(word: "re.Match[str]") -> str:
    """Mask the password of a URL; it may contain any character, so it ends at the last ``@``."""
    scheme, slashes, rest = word[0].partition("://")
    login, at, host = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    return f"{scheme}{slashes}{user}:{MASK}@{host}" if at and colon else word[0]


def _without_any_password(url: str) -> str:
    """Mask what is between the first colon that is not a scheme's, or is after ``//``, and the last ``@``."""
    scheme, bare, at = url.find("//"), _BARE_COLON.search(url), url.rfind("@")
    after_scheme = url.find(":", scheme + 2) if scheme >= 0 else -1
    colons = [colon for colon in (after_scheme, bare.start() if bare else -1) if 0 <= colon < at]
    return f"{url[: min(colons) + 1]}{MASK}{url[at:]}" if colons else url
