"""Signing in with a token, and out."""

import cherrypy

from ..core.errors import Unauthorized
from ..service.tokens import Tokens
from ..web.auth import session_cookie
from ..web.auth.same_site import check_same_site
from ..web.middleware import path_prefix
from ..web.operation import Operation
from . import rendering


def field(name: str) -> str:
    """The value of a field of the form that was sent; empty if it is missing."""
    values = cherrypy.request.form.get(name, ())
    return values[-1] if values else ""


def see_other(path: str) -> bytes:
    """Answer that the browser is to get this path of the service next."""
    cherrypy.response.status = 303
    cherrypy.response.headers["Location"] = path_prefix.of_request() + path
    cherrypy.response.headers.pop("Content-Type", None)
    return b""


def local(path: str) -> str:
    """The path if it is one of this server, which no other site can have made up; else the overview."""
    fits = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isascii() and path.isprintable()
    return path if fits else "/"


@cherrypy.expose
class SignIn:
    """``/ui/sign-in``"""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    @Operation("/ui/sign-in", None, {200: ""}, page=True)
    def GET(self) -> bytes:
        """Show the form."""
        return rendering.page("sign_in.html", next="/")

    @Operation("/ui/sign-in", None, {303: ""}, page=True)
    def POST(self) -> bytes:
        """Keep the token in a cookie, and show the page that was asked for."""
        check_same_site(cherrypy.request.headers, "sign in")
        token = field("token").strip()
        if self._tokens.caller(token) is None:
            raise Unauthorized("The token is unknown, expired or revoked. Enter a valid one.", invalid=True)
        _keep(token)
        return see_other(local(field("next")))


@cherrypy.expose
class SignOut:
    """``/ui/sign-out``"""

    @Operation("/ui/sign-out", None, {303: ""}, page=True)
    def POST(self) -> bytes:
        """Remove the cookie."""
        check_same_site(cherrypy.request.headers, "sign out")
        _keep("")
        return see_other("/")


def _keep(token: str) -> None:
    # A proxy that ends TLS sends plain HTTP; the browser's Origin has the scheme of the page.
    origin = cherrypy.request.headers.get("Origin", "")
    secure = cherrypy.request.scheme == "https" or origin.lower().startswith("https:")
    cherrypy.response.headers["Set-Cookie"] = session_cookie.keeping(token, path_prefix.of_request(), secure=secure)
