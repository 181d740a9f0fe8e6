"""The guard before every handler: host, caller, rate limit, scope, and whether a browser asks for another site.

It stands before the body is read. Order and rules are told in docs/api/security.md.
"""

import time
from collections.abc import Mapping
from contextlib import suppress

import cherrypy

from ...config.settings import AuthSettings
from ...core.errors import (
    BadId,
    Forbidden,
    ForeignHost,
    MissingScope,
    PurgedJob,
    TooManyRequests,
    Unauthorized,
    UnknownJob,
)
from ...core.job import parse_uuid
from ...core.permissions import ANONYMOUS, READ, Caller, is_loopback, within
from ...logs import log_context
from ...service.tokens import Tokens
from ...service.verbs import Service
from .rate_limit import RateLimit
from .route_scopes import Rule, rule
from .same_site import check_site

FORWARDED = frozenset({"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"})
"""What a proxy adds: a request with one of these comes from elsewhere, whatever its address says."""
TOLD = "Send a token as the header Authorization: Bearer <token>; pacifica-dispatcher-cmd token create makes one."


class Guard:
    """Decides on each request; as two CherryPy tools, ``enter`` before the body and ``look`` before the handler."""

    def __init__(self, settings: AuthSettings, tokens: Tokens, service: Service) -> None:
        self._settings = settings
        self._tokens = tokens
        self._service = service
        self._limit = RateLimit(settings.rate_limit, settings.rate_window) if settings.rate_limit else None

    def enter(self) -> None:
        """Refuse what may not come in; else ``request.login`` is the caller's name. Errors are ``errors``'."""
        request = cherrypy.serving.request
        handler = getattr(request.handler, "callable", None)
        found = rule(handler)
        if found is not None and found.scope is None:
            return
        self._check_host(request.headers)
        try:
            caller = self._caller(request.headers, request.remote.ip)
        except Unauthorized:
            self._count(f"at {request.remote.ip}")
            raise
        request.dispatcher_caller = caller
        request.login = caller.name
        log_context.note(caller=caller.name)
        self._count(caller.name or f"at {request.remote.ip}")
        if handler is None:
            return  # CherryPy's own 404 or 405.
        if found is None or found.scope is None:
            raise Forbidden("No rule says who may do this, so nobody may.")
        if not caller.may(found.scope):
            raise MissingScope(found.scope)
        if found.about == "everything" and not caller.may_all(found.scope):
            raise MissingScope(found.scope, "*")
        if found.scope != READ and request.method != "HEAD":
            check_site(request.headers)
        reads = caller.may(READ) if found.scope == READ else caller.may_all(READ)  # The looks below know more.
        request.dispatcher_tracebacks = self._settings.show_tracebacks and reads

    def look(self) -> None:
        """Refuse a task or a job that the caller's scope does not cover; another's job is as unknown as none."""
        request = cherrypy.serving.request
        found, caller = rule(getattr(request.handler, "callable", None)), getattr(request, "dispatcher_caller", None)
        if found is None or caller is None or found.scope is None:
            return
        if found.about == "job" and (text := _subject("uuid")):
            with suppress(BadId):  # The handler refuses it.
                log_context.note(job=parse_uuid(text))
        if found.about == "task":
            self._look_at_task(caller, found, _subject("task"))
        sees_all = caller.may_all(found.scope) and caller.may_all(READ)
        if found.about == "job" and not sees_all and (named := _subject("uuid")):
            self._look_at_job(caller, found, parse_uuid(named))

    def _look_at_task(self, caller: Caller, found: Rule, task: str) -> None:
        """A batch names no task in its path; ``web.batch`` judges each of its items."""
        if task and not caller.may(str(found.scope), task):
            raise MissingScope(str(found.scope), task)
        # With an Idempotency-Key the answer may be a job that has failed already.
        cherrypy.serving.request.dispatcher_tracebacks = self._settings.show_tracebacks and caller.may(READ, task)

    def _look_at_job(self, caller: Caller, found: Rule, uuid: str) -> None:
        """Neither task nor caller of a job ever changes, so that what is seen here holds in the handler.

        Of a purged job neither is remembered, so that whoever may not see all jobs is told of none.
        """
        try:
            job = self._service.status(uuid)
        except PurgedJob:
            raise UnknownJob(uuid) from None
        request = cherrypy.serving.request
        if not caller.visibility(str(found.scope)).covers(job.task, job.caller):
            raise UnknownJob(uuid)
        shown = caller.visibility(READ).covers(job.task, job.caller)
        request.dispatcher_tracebacks = self._settings.show_tracebacks and shown
        request.dispatcher_hides = not shown

    def _check_host(self, headers: Mapping[str, str]) -> None:
        """A page whose name was rebound to this address sends its own name as the host (DNS rebinding)."""
        host = host_name(headers.get("Host", ""))
        own = self._settings
        if not host or host in own.hosts or is_loopback(host):
            return
        if own.hosts:
            raise ForeignHost(f"This server is not {host[:191]!r}; the setting [auth] hosts names what it is.")
        if own.anonymous == "loopback" and "Authorization" not in headers and own.proxy_user_header not in headers:
            raise ForeignHost(
                f"Without a token only this machine may ask, by the name localhost and not {host[:191]!r}; "
                "the setting [auth] hosts allows other names."
            )

    def _caller(self, headers: Mapping[str, str], address: str) -> Caller:
        own = self._settings
        if "Authorization" in headers:
            return self._by_token(headers["Authorization"])
        from_proxy = within(address, own.proxy_addresses)
        if from_proxy and own.proxy_user_header in headers:
            return self._by_proxy(headers[own.proxy_user_header])
        if own.anonymous == "anywhere":
            return ANONYMOUS
        local = is_loopback(address) and not from_proxy and FORWARDED.isdisjoint(headers)
        if own.anonymous == "loopback" and local and own.proxy_user_header not in headers:
            return ANONYMOUS
        raise Unauthorized(f"This takes a token. {TOLD}")

    def _by_token(self, given: str) -> Caller:
        scheme, _, token = given.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthorized(f"The scheme of Authorization is not known here. {TOLD}")
        caller = self._tokens.caller(token.strip())
        if caller is None:
            raise Unauthorized("The token is not, or no longer, valid.", invalid=True)
        return caller

    def _by_proxy(self, user: str) -> Caller:
        if not 0 < len(user) <= 150 or not user.isprintable() or "," in user:
            raise Unauthorized("The proxy names no user that can be taken: 1 to 150 characters on one line, no comma.")
        return Caller(f"user:{user}", self._settings.proxy_scopes)

    def _count(self, caller: str) -> None:
        if self._limit is None:
            return
        seen = self._limit.take(caller, time.monotonic())
        headers = cherrypy.response.headers
        headers["RateLimit-Policy"] = f'"default";q={self._limit.limit};w={int(self._limit.window)}'
        headers["RateLimit"] = f'"default";r={seen.remaining};t={seen.reset}'
        if not seen.allowed:
            raise TooManyRequests(seen.retry_after)


def host_name(host: str) -> str:
    """The name in a ``Host`` header, in lower case, without port; an IPv6 address keeps its brackets."""
    name = host.strip().lower()
    return f"{name.partition(']')[0]}]" if name.startswith("[") else name.partition(":")[0]


def _subject(name: str) -> str:
    """What the path is about, as the handler will see it."""
    handler = cherrypy.serving.request.handler
    return str(handler.args[0] if handler.args else handler.kwargs.get(name, ""))
