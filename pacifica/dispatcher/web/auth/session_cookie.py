"""The cookie by which a browser that has signed in sends its token.

It is HttpOnly, so that no script reads it, and SameSite=Strict, so that no page of another site sends it (RFC 6265bis).
"""

import re
from collections.abc import Mapping

NAME = "pacifica_dispatcher_token"
MOST = 8192
"""The most characters of the header that are searched."""
_TOKEN = re.compile(rf"(?:^|;) *{NAME}=(pd_[A-Za-z0-9_-]{{43}}) *(?:;|$)")


def token(headers: Mapping[str, str]) -> str | None:
    """The token in the request's cookie, if it has the form of one."""
    found = _TOKEN.search(headers.get("Cookie", "")[:MOST])
    return found[1] if found else None


def keeping(text: str, path: str, *, secure: bool) -> str:
    """The header that stores the token until the browser is closed; an empty text removes it."""
    ends = "" if text else "; Max-Age=0"
    return f"{NAME}={text}; Path={path or '/'}; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}{ends}"
