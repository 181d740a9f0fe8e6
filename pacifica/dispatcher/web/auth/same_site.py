"""Refuses requests that a browser makes on behalf of another site, for actions that such a page must not trigger."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ...core.errors import CrossSite


def check_same_site(headers: Mapping[str, str], action: str) -> None:
    """Raise ``CrossSite`` if a browser marks the request as another site's; other clients send no such header.

    Source: W3C Fetch Metadata; RFC 6454, section 7.
    """
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site is not None and site.strip().lower() not in {"same-origin", "none"}:
        raise CrossSite(f"A page of another site may not {action} here (Sec-Fetch-Site).")
    if origin is not None and _authority(origin) != _authority(f"{origin.partition(':')[0]}://{headers.get('Host')}"):
        raise CrossSite(f"A page of another site may not {action} here (Origin).")


def check_own_page(headers: Mapping[str, str]) -> None:
    """Raise ``CrossSite`` unless a page of this server sends the request: a link in a mail must start nothing.

    For a GET with a cookie: over plain HTTP, browsers mark no request, so that such a GET is always refused.
    """
    if headers.get("Sec-Fetch-Site", "").strip().lower() != "same-origin":
        raise CrossSite("A browser that has signed in may change anything only by POST, or from a page of this server.")


def check_may_wait(headers: Mapping[str, str]) -> None:
    """Raise ``CrossSite`` for another site's request that would occupy one of the few slots for waiting clients."""
    check_same_site(headers, "wait or stream")


def _authority(origin: str) -> Any:
    """Host and port of an origin; a unique object for an origin without them, such as ``null``."""
    try:
        parts = urlsplit(origin)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return object()
    return (parts.hostname, port) if parts.hostname else object()
