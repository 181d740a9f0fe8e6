"""Validators: a representation's ``ETag``, and 304 for whoever has it already (RFC 9110, section 13)."""

import hashlib

import cherrypy


def tagged(body: bytes) -> bytes:
    """The body with a strong ``ETag``; empty, with status 304, when ``If-None-Match`` names it."""
    return b"" if is_known(cherrypy.serving.response.headers.get("Content-Type", "").encode(), body) else body


def is_known(*parts: bytes) -> bool:
    """Whether ``If-None-Match`` names the strong ``ETag`` made of the parts, which tell all that a representation does.

    Sets the ``ETag``, and for one that is known the status 304.
    """
    response, asked = cherrypy.serving.response, cherrypy.serving.request.headers.get("If-None-Match")
    digest = hashlib.sha256(b"\n".join(parts)).hexdigest()
    tag = f'"{digest[:32]}"'
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "no-cache"
    if asked is None:
        return False
    known = [one.strip().removeprefix("W/") for one in asked.split(",")]
    if tag not in known and known != ["*"]:
        return False
    response.status = 304
    response.headers.pop("Content-Type", None)
    return True
