"""HTTP requests to one service: sent again where that can help, with every failure as an error of the client."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypedDict, TypeVar, Unpack
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3 import Retry
from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError

from ..core import strict_json
from ..core.redaction import without_login
from .errors import BadAddress, BadAnswer, BadToken, BadValue, FailureKind, NotReachable, Refused, TimedOut
from .retries import LONGEST_RETRY_AFTER, Deadline, pauses, retry_after_seconds
from .values import Document, Problem

TRANSIENT = frozenset({429, 502, 503, 504})
"""The statuses that another try may not meet."""
POOL = 32
"""The number of connections that threads which share a client keep open."""
LEAST = 2.0
"""The seconds that an answer may always take, even if the deadline leaves less."""
Headers = Mapping[str, str]
Value = TypeVar("Value")


class RequestOptions(TypedDict, total=False):
    """The parts of a request besides method and path.

    ``text`` is a JSON body. ``wait`` is the number of seconds for which the service is asked to delay its answer.
    A status in ``takes`` counts as an answer, not as an error.
    """

    text: str
    params: Mapping[str, Any]
    headers: Headers
    deadline: Deadline
    wait: float
    takes: frozenset[int]


class Bearer(AuthBase):
    """Sends the token without surrounding white space; as ``auth``, it takes precedence over a ``.netrc``."""

    def __init__(self, token: str | None) -> None:
        self._token = (token or "").strip()
        if not re.fullmatch("[!-~]*", self._token):
            raise BadToken(
                "The token cannot be sent: it contains a space, a line end or another character that tokens never have."
            )

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class ServiceConnection:
    """Sends requests to the service at ``url``, which may be silent for ``timeout`` seconds."""

    def __init__(
        self, url: str, token: str | None, timeout: float, session: requests.Session | None, retries: Retry
    ) -> None:
        self.url = _base(url)
        self.retries = retries
        self._shown = without_login(self.url)
        self._auth = Bearer(token)
        self._timeout = timeout
        self._owns_session = session is None
        self._session = session or _new_session()

    def close(self) -> None:
        """Close the open connections, unless the session is the caller's."""
        if self._owns_session:
            self._session.close()

    def json(self, method: str, path: str, **options: Unpack[RequestOptions]) -> Any:
        """The JSON of the answer to ``send``; raises ``BadAnswer`` if it is not JSON."""
        answer = self.send(method, path, **options)
        try:
            return strict_json.loads(answer.content)
        except ValueError as error:
            raise self._bad_answer(answer, f"the answer is not JSON: {error}") from error

    def send(self, method: str, path: str, **options: Unpack[RequestOptions]) -> requests.Response:
        """The answer, with a status of success or one of ``takes``.

        The request is sent again after a cut connection and for the statuses of ``TRANSIENT``, so sending it twice
        must have the same effect as sending it once. Raises ``NotReachable``, ``TimedOut``, ``Refused``, ``BadAnswer``.
        """
        deadline, takes = options.get("deadline", Deadline(None)), options.get("takes", frozenset())
        headers = {"Accept": "application/json", **options.get("headers", {})}
        if "text" in options:
            headers["Content-Type"] = "application/json"
        content = {"data": options.get("text"), "params": options.get("params"), "headers": headers}
        further = pauses(self.retries)
        while True:
            try:
                with self._translated_errors():
                    seconds = options.get("wait", 0.0) + max(LEAST, deadline.left(self._timeout))
                    answer = self._request(method, path, seconds, **content)
                if answer.status_code not in TRANSIENT or answer.status_code in takes:
                    return self._accepted(answer, takes)
                failure = self._unavailable(answer)
            except NotReachable as error:
                failure = error
            pause = next(further, None)
            if pause is None or failure.retry_after > LONGEST_RETRY_AFTER:
                raise failure
            _sleep(max(pause, failure.retry_after), deadline, failure)

    @contextmanager
    def stream(self, path: str, headers: Headers, silence: float) -> Iterator[requests.Response]:
        """An answer whose body is read as it arrives, until ``silence`` seconds without data. It is not sent again."""
        with self._translated_errors():
            answer = self._request("GET", path, silence, headers=headers, stream=True)
        with answer, self._translated_errors():
            if answer.status_code in TRANSIENT:
                raise self._unavailable(answer)
            yield self._accepted(answer, frozenset())

    def _request(self, method: str, path: str, seconds: float, **content: Any) -> requests.Response:
        if not path.startswith("/"):  # "@another.example/" after our host would be another host.
            raise BadAnswer(f"The service at {self._shown} names {path!r:.80} as its next page, which is not a path.")
        prefix = urlsplit(self.url).path  # A service that knows the prefix of its URL repeats it in its links.
        return self._session.request(
            method,
            f"{self.url}{path.removeprefix(prefix) if path.startswith(f'{prefix}/') else path}",
            auth=self._auth,
            timeout=(min(self._timeout, seconds), seconds),
            allow_redirects=False,  # a POST would become a GET
            **content,
        )

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Raise an error of the client for each exception of requests."""
        try:
            yield
        except requests.Timeout as error:
            raise NotReachable(f"The service at {self._shown} did not answer in time.", "timed-out") from error
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            message = f"The service at {self._shown} cannot be reached: {_reason(error)}."
            raise NotReachable(message, _kind(error)) from error
        except (requests.exceptions.InvalidHeader, UnicodeEncodeError) as error:
            raise BadValue(f"The idempotency key or another header cannot be sent: {error}.") from error
        except requests.RequestException as error:
            raise BadAnswer(f"The request to the service at {self._shown} failed: {error}.") from error

    def _accepted(self, answer: requests.Response, takes: frozenset[int]) -> requests.Response:
        if (answer.ok and not answer.is_redirect) or answer.status_code in takes:
            return answer
        if answer.is_redirect:
            raise self._bad_answer(answer, f"it redirects to {answer.headers['Location']}; use that as the URL")
        raise Refused(self._problem(answer))

    def _unavailable(self, answer: requests.Response) -> NotReachable:
        problem, reason = None, f"it answered {answer.status_code}."
        with suppress(BadAnswer):  # A proxy in front of the service answers with its own error pages.
            problem = self._problem(answer)
            reason = problem.detail
        pause = retry_after_seconds(answer.headers.get("Retry-After"))
        return NotReachable(f"The service at {self._shown} is unavailable: {reason}", "unavailable", problem, pause)

    def _problem(self, answer: requests.Response) -> Problem:
        """The problem document of an error; raises ``BadAnswer`` if there is none."""
        problem = Problem.in_answer(answer.content, answer.status_code)
        if problem is None:
            raise self._bad_answer(answer, "the answer is not a problem document of a dispatcher")
        return problem

    def _bad_answer(self, answer: requests.Response, reason: str) -> BadAnswer:
        where = without_login(answer.url).partition("?")[0]
        return BadAnswer(f"{where} answered {answer.status_code}; {reason}.")


def parse(make: Callable[[Document], Value], answer: str | bytes | Document) -> Value:
    """The value that ``make`` reads from a document or its JSON; raises ``BadAnswer`` if the document does not fit."""
    try:
        return make(strict_json.loads(answer) if isinstance(answer, (str, bytes)) else answer)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadAnswer(f"The answer did not come from a dispatcher: {answer!r:.200}.") from error


def _base(url: str) -> str:
    """The URL without a trailing slash; raises ``BadAddress``."""
    parts = urlsplit(url)
    try:
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment:
        raise BadAddress(f"{without_login(url)!r} is not the URL of a service; one looks like http://127.0.0.1:8050.")
    return url.rstrip("/")


def _new_session() -> requests.Session:
    """A session without cookies: they are the only part of it that threads could not share."""
    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=POOL))
    return session


def _sleep(pause: float, deadline: Deadline, failure: NotReachable) -> None:
    """Sleep before the next try; raises ``TimedOut`` when the deadline leaves no time for one."""
    if deadline.left(pause) < pause:
        time.sleep(deadline.left(pause))
        raise TimedOut(
            f"{str(failure).rstrip('.')}, and the given time of {deadline.seconds:g} s is over."
        ) from failure
    time.sleep(pause)


def _kind(error: requests.RequestException) -> FailureKind:
    if isinstance(error, requests.exceptions.SSLError):
        return "tls"
    cause = error.args[0] if error.args else error
    cause = cause.reason if isinstance(cause, MaxRetryError) else cause
    if isinstance(cause, NameResolutionError):
        return "unknown-host"
    return "refused" if isinstance(cause, NewConnectionError) else "broken"


def _reason(error: BaseException) -> str:
    """The text of the innermost cause, without the representations of the objects around it."""
    inner = error
    while causes := [one for one in (getattr(inner, "reason", None), *inner.args) if isinstance(one, BaseException)]:
        inner = causes[0]
    text = str(inner).rpartition("): ")[2].removeprefix("Failed to establish a new connection: ")
    return re.sub(r"\[Errno -?[0-9]+\] ", "", text).rstrip(".") or type(inner).__name__
