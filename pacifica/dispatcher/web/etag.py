"""Validators: the ``ETag`` of a representation, and 304 for clients that hold it already (RFC 9110, section 13)."""

import hashlib

import cherrypy


def tagged(body: bytes) -> bytes:
    """The body with a strong ``ETag``; empty, with status 304, if ``If-None-Match`` names it."""
    media = cherrypy.serving.response.headers.get("Content-Type", "").encode()
    return b"" if is_current(media, body) else body


def is_current(*parts: bytes) -> bool:
    """Set the strong ``ETag`` made of the parts; return true, with status 304, if ``If-None-Match`` names it.

    The parts must determine the whole representation.
    """
    response = cherrypy.serving.response
    digest = hashlib.sha256(b"\n".join(parts)).hexdigest()
    tag = f'"{digest[:32]}"'
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "no-cache"
    condition = cherrypy.serving.request.headers.get("If-None-Match")
    if condition is None:
        return False
    known = [each.strip().removeprefix("W/") for each in condition.split(",")]
    if tag not in known and known != ["*"]:
        return False
    response.status = 304
    response.headers.pop("Content-Type", None)
    return True
