"""Requests to one service: sent again while that can help, and every way to fail told by an error of the client."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypedDict, Unpack
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from ..core import strict_json
from ..core.redaction import without_login
from .errors import BadAddress, BadAnswer, BadToken, BadValue, NotReachable, Refused, TimedOut
from .retries import Deadline, Retries, asked_pause
from .values import Problem

PASSING = frozenset({429, 502, 503, 504})
"""Statuses that another try may not meet again."""
POOL = 32
"""Connections that threads which share a client keep open."""
LEAST = 2.0
"""Seconds that an answer may take, however little time is left."""
Headers = Mapping[str, str]


class Sending(TypedDict, total=False):
    """What a request may say beside method and path.

    ``text`` is JSON, ``wait`` for how many seconds the service is asked to wait before it answers, and ``takes`` are
    the statuses that are an answer, too, and no error.
    """

    text: str
    params: Mapping[str, Any]
    headers: Headers
    deadline: Deadline
    wait: float
    takes: frozenset[int]


class Bearer(AuthBase):
    """The token, without the blanks and line ends around it; as ``auth``, so that no ``.netrc`` replaces it."""

    def __init__(self, token: str | None) -> None:
        self._token = (token or "").strip()
        if not re.fullmatch("[!-~]*", self._token):
            raise BadToken(
                "The token cannot be sent: it has a blank, a line end or another character in it that no token has."
            )

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header, if there is a token."""
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Connection:
    """Sends requests to the service at ``url``, which may be silent for ``timeout`` seconds, and no longer."""

    def __init__(
        self, url: str, token: str | None, timeout: float, session: requests.Session | None, retries: Retries
    ) -> None:
        self.url = _base(url)
        self._shown = without_login(self.url)
        self.retries = retries
        self._auth = Bearer(token)
        self._timeout = timeout
        self._own = session is None
        self._session = session or _new_session()

    def close(self) -> None:
        """Close what is open, unless the session is the caller's."""
        if self._own:
            self._session.close()

    def json(self, method: str, path: str, **sending: Unpack[Sending]) -> Any:
        """The JSON that is answered to ``send``."""
        return self.read(self.send(method, path, **sending))

    def read(self, answer: requests.Response) -> Any:
        """The JSON of an answer; raises ``BadAnswer``."""
        try:
            return strict_json.loads(answer.content)
        except ValueError as error:
            raise self._bad(answer, f"the answer is not JSON: {error}") from error

    def send(self, method: str, path: str, **sending: Unpack[Sending]) -> requests.Response:
        """One answer with a good status, or with one that the request takes.

        It is sent again after a cut connection and for the statuses of ``PASSING``, so what it does must be the
        same when it is done twice. Raises ``NotReachable``, ``TimedOut``, ``Refused`` and ``BadAnswer``.
        """
        deadline, takes = sending.get("deadline", Deadline(None)), sending.get("takes", frozenset())
        sent = {"Accept": "application/json", **sending.get("headers", {})}
        if "text" in sending:
            sent["Content-Type"] = "application/json"
        options = {"data": sending.get("text"), "params": sending.get("params"), "headers": sent}
        pauses = self.retries.pauses()
        while True:
            try:
                with self._translated():
                    seconds = sending.get("wait", 0.0) + max(LEAST, deadline.left(self._timeout))
                    answer = self._request(method, path, seconds, **options)
                if answer.status_code not in PASSING or answer.status_code in takes:
                    return self._good(answer, takes)
                failed = self._passing(answer)
            except NotReachable as error:
                failed = error
            pause = next(pauses, None)
            if pause is None or failed.retry_after > self.retries.longest_asked:
                raise failed
            _rest(max(pause, failed.retry_after), deadline, failed)

    @contextmanager
    def stream(self, path: str, headers: Headers, silence: float) -> Iterator[requests.Response]:
        """An answer whose body is read as it comes, cut when there is ``silence`` for so many seconds; sent once."""
        with self._translated():
            answer = self._request("GET", path, silence, headers=headers, stream=True)
        with answer, self._translated():
            if answer.status_code in PASSING:
                raise self._passing(answer)
            yield self._good(answer, frozenset())

    def _request(self, method: str, path: str, seconds: float, **options: Any) -> requests.Response:
        if not path.startswith("/"):  # "@another.example/" behind our host would be another host.
            raise BadAnswer(f"The service at {self._shown} names {path!r:.80} as its next page, which is no path.")
        return self._session.request(
            method,
            f"{self.url}{path}",
            auth=self._auth,
            timeout=(min(self._timeout, seconds), seconds),
            allow_redirects=False,  # a POST would become a GET
            **options,
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """What requests raises, as an error of ours."""
        try:
            yield
        except requests.Timeout as error:
            raise NotReachable(f"The service at {self._shown} does not answer in time.") from error
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            raise NotReachable(f"The service at {self._shown} cannot be reached: {_reason(error)}.") from error
        except (requests.exceptions.InvalidHeader, UnicodeEncodeError) as error:
            raise BadValue(f"A key or another header cannot be sent: {error}.") from error
        except requests.RequestException as error:
            raise BadAnswer(f"The service at {self._shown} cannot be talked to: {error}.") from error

    def _good(self, answer: requests.Response, takes: frozenset[int]) -> requests.Response:
        if (answer.ok and not answer.is_redirect) or answer.status_code in takes:
            return answer
        if answer.is_redirect:
            raise self._bad(answer, f"it sends elsewhere, to {answer.headers['Location']}; give that as the URL")
        raise Refused(self._problem(answer))

    def _passing(self, answer: requests.Response) -> NotReachable:
        problem, told = None, f"it answered {answer.status_code}."
        with suppress(BadAnswer):  # a proxy in front of the service has its own pages
            problem = self._problem(answer)
            told = problem.detail
        pause = asked_pause(answer.headers.get("Retry-After"))
        return NotReachable(f"The service at {self._shown} cannot do it now: {told}", problem, pause)

    def _problem(self, answer: requests.Response) -> Problem:
        """The problem document of an error; raises ``BadAnswer`` when there is none."""
        try:
            document = strict_json.loads(answer.content)
        except ValueError:
            document = None
        if not isinstance(document, dict) or "status" not in document:
            raise self._bad(answer, "that is no problem document of a dispatcher")
        return Problem.of(document, answer.status_code)

    def _bad(self, answer: requests.Response, told: str) -> BadAnswer:
        where = without_login(answer.url).partition("?")[0]
        return BadAnswer(f"{where} answered {answer.status_code}; {told}.")


def _base(url: str) -> str:
    """The URL without a slash at its end."""
    parts = urlsplit(url)
    try:
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise BadAddress(f"{without_login(url)!r} is not the URL of a service; one looks like http://127.0.0.1:8050.")
    return url.rstrip("/")


def _new_session() -> requests.Session:
    """Without cookies, which are all that threads could not share."""
    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=POOL))
    return session


def _rest(pause: float, deadline: Deadline, failed: NotReachable) -> None:
    """Pause before the next try; raises ``TimedOut`` when there is no time for one."""
    if deadline.left(pause) < pause:
        time.sleep(deadline.left(pause))
        raise TimedOut(
            f"{str(failed).rstrip('.')}, and the {deadline.seconds:g} s that were given are over."
        ) from failed
    time.sleep(pause)


def _reason(error: BaseException) -> str:
    """The innermost cause that says something, without the representations of the objects around it."""
    inner: Any = error
    while True:
        reason = getattr(inner, "reason", None)
        below = (
            reason
            if isinstance(reason, BaseException)
            else next((one for one in inner.args if isinstance(one, BaseException)), None)
        )
        if below is None:
            break
        inner = below
    told = str(inner).rpartition("): ")[2].removeprefix("Failed to establish a new connection: ")
    return re.sub(r"\[Errno -?[0-9]+\] ", "", told).rstrip(".") or type(inner).__name__
