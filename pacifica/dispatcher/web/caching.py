"""Validators: a representation's ``ETag``, and 304 for whoever has it already (RFC 9110, section 13)."""

import hashlib

import cherrypy


def tagged(body: bytes) -> bytes:
    """The body with a strong ``ETag``; empty, with status 304, when ``If-None-Match`` names it."""
    request, response = cherrypy.request, cherrypy.response
    kind = response.headers.get("Content-Type", "")
    digest = hashlib.sha256(b"\n".join((kind.encode(), body))).hexdigest()
    tag = f'"{digest[:32]}"'
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "no-cache"
    known = [one.strip().removeprefix("W/") for one in request.headers.get("If-None-Match", "").split(",")]
    if tag in known or known == ["*"]:
        response.status = 304
        response.headers.pop("Content-Type", None)
        return b""
    return body
