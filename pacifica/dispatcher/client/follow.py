"""Events as they happen, one after the other, whatever becomes of the connections that carry them."""

import time
from collections.abc import Iterable, Iterator

import requests

from .connection import Connection
from .errors import BadAnswer, NotReachable
from .eventstream import messages
from .values import JobEvent, read

SILENCE = 60.0
"""Seconds without a sign of life, after which a connection is taken for cut; the service sends one each 15 seconds."""
PAUSE = 2.0
"""Seconds before a stream that ended is opened again, unless it tells another time."""


class Follower:
    """The events of one stream behind ``place``; ``None`` is where the service lets it begin, and says so.

    ``place`` is at any time the id of the event behind which it would go on, as text. A cut connection is opened
    again there; ``NotReachable`` comes when none of the connection's retries leads to a stream.
    """

    def __init__(self, connection: Connection, path: str, place: int | None, silence: float = SILENCE) -> None:
        self._connection = connection
        self._path = path
        self.place = "" if place is None else str(place)
        self._silence = silence
        self._pause = PAUSE
        self._over = False

    def __iter__(self) -> Iterator[JobEvent]:
        """The events; it ends when the service says that there will be no more."""
        pauses = self._connection.retries.pauses()
        while not self._over:
            began, failed = self.place, None
            try:
                yield from self._stream()
            except NotReachable as error:
                failed = error
            if self.place != began:
                pauses = self._connection.retries.pauses()
                continue
            time.sleep(self._rest(failed, pauses))

    def _stream(self) -> Iterator[JobEvent]:
        """The events of one connection."""
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": self.place} if self.place else {})}
        with self._connection.stream(self._path, headers, self._silence) as answer:
            if answer.status_code == 204:
                self._over = True
                return
            if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
                raise BadAnswer(f"{answer.url} does not answer with a stream of events.")
            for message in messages(_chunks(answer), self.place):
                self.place = message.last_id
                self._pause = self._pause if message.retry is None else message.retry
                if message.data is not None:
                    yield read(JobEvent.of, message.data)

    def _rest(self, failed: NotReachable | None, pauses: Iterator[float]) -> float:
        """The pause before the next connection; raises what ``failed`` when there is to be none."""
        if failed is None:
            return 0.0 if self._over else self._pause
        for pause in pauses:
            return max(pause, failed.retry_after)
        raise failed


def _chunks(answer: requests.Response) -> Iterable[bytes]:
    """The body as it comes; one that is not sent in chunks would else be waited for until its end."""
    whole: bool = getattr(answer.raw, "chunked", False)
    return answer.iter_content(None if whole else 1)
