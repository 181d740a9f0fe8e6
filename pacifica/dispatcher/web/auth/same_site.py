"""Whether a browser asks on behalf of another site, for what such a page may not do."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ...core.errors import CrossSite


def check_site(headers: Mapping[str, str], *, told: str = "change anything") -> None:
    """Raise ``CrossSite`` when a browser says that another site asks; whoever is no browser says nothing.

    Source: W3C Fetch Metadata; RFC 6454, section 7.
    """
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site is not None and site.strip().lower() not in {"same-origin", "none"}:
        raise CrossSite(f"A page of another site may not {told} here (Sec-Fetch-Site).")
    if origin is not None and _authority(origin) != _authority(f"{origin.partition(':')[0]}://{headers.get('Host')}"):
        raise CrossSite(f"A page of another site may not {told} here (Origin).")


def check_place(headers: Mapping[str, str]) -> None:
    """The same for a request that is to hold one of the few places of those who wait."""
    check_site(headers, told="wait or stream")


def _authority(origin: str) -> Any:
    """Host and port of an origin; something that equals nothing for one that has none, such as ``null``."""
    try:
        parts = urlsplit(origin)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return object()
    return (parts.hostname, port) if parts.hostname else object()
