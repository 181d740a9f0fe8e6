"""The guard before every handler: checks host, caller, rate limit, scope, and cross-site requests of browsers.

It runs before the body is read. ``docs/api/security.md`` describes the rules and their order. Routes for one job read
its row only once: their handlers pass ``visible_jobs`` to the service, which treats other jobs as unknown.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import cherrypy

from ...config.settings import AuthSettings
from ...core.errors import BadId, Forbidden, ForeignHost, MissingScope, TooManyRequests, Unauthorized
from ...core.job import parse_uuid
from ...core.permissions import ANONYMOUS, READ, Caller, is_loopback, within
from ...logs import log_context
from ...service.tokens import Tokens
from ..operation import Operation
from . import session_cookie
from .local_request import host_name, sign_of_proxy
from .rate_limit import RateLimit
from .same_site import check_own_page, check_same_site

HOW_TO_AUTHENTICATE = (
    "Send the header Authorization: Bearer <token>. pacifica-dispatcher-cmd token create makes a token."
)


class Guard:
    """Admits or refuses each request; ``check`` is called once its operation is known."""

    def __init__(self, settings: AuthSettings, tokens: Tokens) -> None:
        self._settings = settings
        self._tokens = tokens
        self._limit = RateLimit(settings.rate_limit, settings.rate_window) if settings.rate_limit else None

    def check(self) -> None:
        """Refuse the request with an error of ``core.errors``, or set its ``caller`` and ``login``."""
        request = cherrypy.serving.request
        operation, runs_handler = request.operation, hasattr(request.handler, "callable")
        address = f"at {request.remote.ip}"
        if operation is not None and operation.scope is None:
            if operation.page and request.method == "POST":
                self._count(address)  # It may try tokens.
            return
        self._check_host(request.headers)
        try:
            request.caller = caller = self._caller(request, request.remote.ip)
        except Unauthorized:
            self._count(address)
            raise
        request.login = caller.name
        request.sees_tracebacks = self._sees_tracebacks
        log_context.note(caller=caller.name)
        self._count(caller.name or address)
        if not runs_handler:
            return  # CherryPy answers OPTIONS, 404 and 405.
        if operation is None:
            raise Forbidden("This route declares no scope, so no caller may use it.")
        _check_scope(request, caller, operation, operation.scope)
        if operation.names_job:
            _note_job(request)

    def _check_host(self, headers: Mapping[str, str]) -> None:
        """Refuse the ``Host`` of a page whose name was rebound to this address (DNS rebinding)."""
        host = host_name(headers.get("Host", ""))
        own = self._settings
        if not host or host in own.hosts or is_loopback(host):
            return
        if own.hosts:
            raise ForeignHost(f"This server is not {host[:191]!r}. The setting [auth] hosts lists its names.")

    def _caller(self, request: Any, address: str) -> Caller:
        own, headers = self._settings, request.headers
        if "Authorization" in headers:
            return self._by_token(headers["Authorization"])
        from_proxy = within(address, own.proxy_addresses)
        if from_proxy and own.proxy_user_header in headers:
            return self._by_proxy(headers[own.proxy_user_header])
        cookie = session_cookie.token(headers)
        signed_in = None if cookie is None else self._tokens.caller(cookie)
        if signed_in is not None:
            request.by_cookie = True
            return signed_in
        if own.anonymous == "anywhere":
            return ANONYMOUS
        if own.anonymous == "none":
            raise Unauthorized(f"This request needs a token. {HOW_TO_AUTHENTICATE}")
        self._check_local_name(headers)
        sign = self._sign_of_proxy(request, address, from_proxy=from_proxy)
        if sign is None:
            return ANONYMOUS
        raise Unauthorized(
            "This request needs a token, because only programs on this machine need none, and it may come from another "
            f"machine: {sign}. {HOW_TO_AUTHENTICATE} [auth] proxy_addresses names proxies that sign in users."
        )

    def _check_local_name(self, headers: Mapping[str, str]) -> None:
        """Refuse a foreign ``Host`` without a valid token: the page of a rebound name can set any cookie for itself."""
        own, host = self._settings, host_name(headers.get("Host", ""))
        if host and host not in own.hosts and not is_loopback(host) and own.proxy_user_header not in headers:
            raise ForeignHost(
                f"Requests without a token must name this machine localhost, not {host[:191]!r}. {HOW_TO_AUTHENTICATE}"
            )

    def _sign_of_proxy(self, request: Any, address: str, *, from_proxy: bool) -> str | None:
        header = self._settings.proxy_user_header
        if from_proxy:
            return f"its address is one of [auth] proxy_addresses, and it has no header {header}"
        if header in request.headers:
            return f"it has the header {header}, which proxies add"
        return sign_of_proxy(request, address)

    def _sees_tracebacks(self) -> bool:
        request = cherrypy.serving.request
        if self._settings.show_tracebacks != "loopback":
            return self._settings.show_tracebacks == "anywhere"
        address = request.remote.ip
        from_proxy = within(address, self._settings.proxy_addresses)
        return self._sign_of_proxy(request, address, from_proxy=from_proxy) is None

    def _by_token(self, authorization: str) -> Caller:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthorized(f"The Authorization scheme is not supported. {HOW_TO_AUTHENTICATE}")
        caller = self._tokens.caller(token.strip())
        if caller is None:
            raise Unauthorized("The token is unknown, expired or revoked. Send a valid token.", invalid=True)
        return caller

    def _by_proxy(self, user: str) -> Caller:
        if not 0 < len(user) <= 150 or not user.isprintable() or "," in user:
            raise Unauthorized(
                "The user name from the proxy is not valid. It must have 1 to 150 printable characters and no comma."
            )
        return Caller(f"user:{user}", self._settings.proxy_scopes)

    def _count(self, caller: str) -> None:
        if self._limit is None:
            return
        verdict = self._limit.take(caller, time.monotonic())
        headers = cherrypy.response.headers
        headers["RateLimit-Policy"] = f'"default";q={self._limit.limit};w={int(self._limit.window)}'
        headers["RateLimit"] = f'"default";r={verdict.remaining};t={verdict.reset}'
        if not verdict.allowed:
            raise TooManyRequests(verdict.retry_after)


def _check_scope(request: Any, caller: Caller, operation: Operation, scope: str) -> None:
    """Refuse a caller without the scope; items of a batch and single jobs are checked where they are read."""
    if not caller.may(scope):
        raise MissingScope(scope)
    if operation.every_job and not caller.may_all(scope):
        raise MissingScope(scope, "*")
    if scope != READ and request.method != "HEAD":
        check_same_site(request.headers, "change anything")
        if request.method == "GET" and request.by_cookie:
            check_own_page(request.headers)
    if operation.names_task and not caller.may(scope, request.arguments[0]):
        raise MissingScope(scope, request.arguments[0])


def _note_job(request: Any) -> None:
    """Name the job of the path in log lines; this early, because the query or the body may still be refused."""
    with suppress(BadId):  # The handler refuses it.
        log_context.note(job=parse_uuid(request.params.get("uuid") or request.arguments[0]))
