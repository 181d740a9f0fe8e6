"""Events as they happen, across cut connections and restarts of the service."""

import time
from collections.abc import Iterable, Iterator

import requests

from .connection import ServiceConnection, parse
from .errors import BadAnswer, NotReachable
from .eventstream import messages
from .retries import pauses
from .values import JobEvent

SILENCE = 60.0
"""Seconds without any data after which the connection counts as cut; the service sends a comment each 15 seconds."""
PAUSE = 2.0
"""Seconds before a stream that has ended is opened again, unless the stream names another time."""


class Follower:
    """The events of one stream after the event ``place``; ``None`` is where the service begins the stream.

    ``place`` is the id of the last event, as text; a connection that was cut is reopened after it. Raises
    ``NotReachable`` when all retries have failed.
    """

    def __init__(self, connection: ServiceConnection, path: str, place: int | None) -> None:
        self._connection = connection
        self._path = path
        self.place = "" if place is None else str(place)
        self._pause = PAUSE
        self._ended = False

    def __iter__(self) -> Iterator[JobEvent]:
        """The events; ends when the service reports that there will be no more."""
        further = pauses(self._connection.retries)
        while not self._ended:
            began, failure = self.place, None
            try:
                yield from self._stream()
            except NotReachable as error:
                failure = error
            if self.place != began:
                further = pauses(self._connection.retries)
                continue
            time.sleep(self._next_pause(failure, further))

    def _stream(self) -> Iterator[JobEvent]:
        """The events of one connection."""
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": self.place} if self.place else {})}
        with self._connection.stream(self._path, headers, SILENCE) as answer:
            if answer.status_code == 204:
                self._ended = True
                return
            if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
                raise BadAnswer(f"{answer.url} does not answer with a stream of events.")
            for message in messages(_chunks(answer), self.place):
                self.place = message.last_id
                self._pause = self._pause if message.retry is None else message.retry
                if message.data is not None:
                    yield parse(JobEvent.of, message.data)

    def _next_pause(self, failure: NotReachable | None, further: Iterator[float]) -> float:
        """The seconds before the next connection; raises ``failure`` when there are no tries left."""
        if failure is None:
            return 0.0 if self._ended else self._pause
        for pause in further:
            return max(pause, failure.retry_after)
        raise failure


def _chunks(answer: requests.Response) -> Iterable[bytes]:
    """The body as it arrives; byte by byte if it is not chunked, as requests would otherwise wait for its end."""
    chunked: bool = getattr(answer.raw, "chunked", False)
    return answer.iter_content(None if chunked else 1)
