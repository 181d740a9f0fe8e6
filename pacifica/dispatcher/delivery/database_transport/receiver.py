"""The messages that one connection receives and holds, and the thread that exchanges them with the database."""

import logging
import os
import socket
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from ...core.errors import DatabaseUnavailable
from ...store.messages import Delivery, MessageStore, Route, Wanted

logger = logging.getLogger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 0.3
"""Seconds between two looks for messages: after a message was found, and after a while without one."""
GATHER = 0.005
"""Seconds for which settled messages wait for others, to share a transaction."""
INBOX = 32
"""The most messages that wait for their consumers."""
STOP_TIMEOUT = 5.0
"""Seconds that a closing connection waits for its thread, which a locked database may delay."""


class Holder(Protocol):
    """A channel, which may hold at most ``prefetch`` unsettled messages; 0 is no limit."""

    prefetch: int


@dataclass(frozen=True, eq=False)
class QueueConsumer:
    """A consumer of a queue; ``deliver`` is called with each message."""

    holder: Holder
    queue: str
    no_ack: bool
    deliver: Callable[[Delivery], Any]


class Receiver:
    """Receives messages for the consumers of a connection, under a unique owner's name; ``lease`` is in seconds.

    Its thread claims messages, settles them, extends leases, and renews the routes of temporary queues; it writes a
    byte to ``reader`` for each message. It ends when the connection is closed or collected as garbage. A forked
    process does nothing, as the messages belong to its parent.
    """

    def __init__(self, store: MessageStore, lease: float) -> None:
        self._store = store
        self._lease = lease
        self._owner = uuid.uuid4().hex
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._consumers: dict[str, QueueConsumer] = {}
        self._inbox: deque[tuple[QueueConsumer, Delivery]] = deque()
        self._held: dict[int, Holder] = {}
        self._done: set[int] = set()
        self._returned: set[int] = set()
        self._routes: dict[str, dict[Route, None]] = {}
        self._turns = 0
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._pause = SHORTEST_PAUSE
        self._unavailable = False
        self._renew_at = time.monotonic() + lease / 3
        self._sweep_at = time.monotonic() + lease
        self.stopping = False
        self.reader, self._writer = socket.socketpair()
        self._close = weakref.finalize(self, _close, self.reader, self._writer)

    @property
    def ours(self) -> bool:
        """Whether this process opened the connection, and was not forked since."""
        return os.getpid() == self._pid

    def subscribe(self, tag: str, consumer: QueueConsumer) -> None:
        """Receive messages for this consumer."""
        with self._lock:
            self._consumers[tag] = consumer
        self.wake()

    def cancel(self, tag: str) -> None:
        """Remove a consumer, and return its messages in the inbox."""
        with self._lock:
            cancelled = self._consumers.pop(tag, None)
            unread = [delivery.id for one, delivery in self._inbox if one is cancelled]
            self._inbox = deque(entry for entry in self._inbox if entry[0] is not cancelled)
        self.settle(unread, requeue=True)

    def keep_route(self, route: Route) -> None:
        """Renew this route of a temporary queue while its queue is consumed."""
        with self._lock:
            self._routes.setdefault(route.queue, {})[route] = None

    def drop_routes(self, queue: str) -> None:
        """Renew the routes of this queue no longer."""
        self._routes.pop(queue, None)

    def get(self, holder: Holder, queue: str, *, no_ack: bool) -> Delivery | None:
        """Claim one message in the calling thread, regardless of the limit of its holder."""
        ((*found,),) = self._store.turn_over(self._owner, self._lease, wanted=[Wanted([queue], 1, keep=not no_ack)])
        if found and not no_ack:
            with self._lock:
                self._held[found[0].id] = holder
            self.wake()
        return found[0] if found else None

    def held_by(self, holder: Holder) -> list[int]:
        """The unsettled messages of a channel, in the order in which they were received."""
        with self._lock:
            return [message for message, own in self._held.items() if own is holder]

    def settle(self, messages: Iterable[int], *, requeue: bool) -> None:
        """Delete these messages, or with ``requeue`` free them, in a moment; a crash before causes a redelivery."""
        with self._lock:
            held = [message for message in messages if self._held.pop(message, None) is not None]
            (self._returned if requeue else self._done).update(held)
        if held:
            self.wake()

    def deliver_one(self) -> bool:
        """Give the next message to its consumer, in the calling thread, and return whether there was one."""
        with self._lock:
            if not self._inbox:
                return False
            consumer, delivery = self._inbox.popleft()
        consumer.deliver(delivery)
        return True

    def wake(self) -> None:
        """Have the thread settle messages, and look for others, in a moment."""
        with self._lock:
            if self._thread is None and self.ours and not self.stopping:
                arguments = (weakref.ref(self), self._wake, self._store)
                self._thread = threading.Thread(target=_run, args=arguments, name="messages", daemon=True)
                self._thread.start()
        self._wake.set()

    def stop(self) -> None:
        """End the thread; settle the messages, and free all others, at the latest when their leases end."""
        self.stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT)
        self._consumers.clear()
        self.settle(list(self._held), requeue=True)
        try:
            self._exchange()
        except DatabaseUnavailable as error:
            logger.warning("Messages that were received will be delivered again: %s", error)
        self._close()

    def attempt(self) -> float:
        """Do what is due, and return the seconds until the next time."""
        try:
            found = self._exchange()
            self._renew()
        except DatabaseUnavailable as error:
            if not self._unavailable:
                logger.warning("Messages wait, and unacknowledged ones may be delivered again: %s", error)
            self._unavailable = True
            return min(1.0, self._lease / 10)
        except Exception:
            # Without this thread no message would be received any more, and no one would notice.
            logger.exception("Unhandled exception while receiving messages")
            return 1.0
        if self._unavailable:
            logger.warning("The database is available again.")
        self._unavailable = False
        self._pause = SHORTEST_PAUSE if found else min(self._pause * 1.5, LONGEST_PAUSE)
        return self._pause

    def _exchange(self) -> bool:
        """Settle messages and claim others in one transaction, if there are any; returns whether one was received."""
        with self._lock:
            done, returned, wants = set(self._done), set(self._returned), list(self._wants())
        wanted = [want for _, want in wants]
        if not (done or returned or self._store.waiting([queue for want in wanted for queue in want.queues])):
            return False
        claimed = self._store.turn_over(
            self._owner, self._lease, done=list(done), returned=list(returned), wanted=wanted
        )
        with self._lock:
            self._done -= done
            self._returned -= returned
            for (holder, want), found in zip(wants, claimed, strict=True):
                self._receive(holder, found, keep=want.keep)
        return any(claimed)

    def _wants(self) -> Iterator[tuple[Holder, Wanted]]:
        """A request for each channel that may receive messages, with its queues in turn."""
        queues: dict[tuple[Holder, bool], list[str]] = {}
        for one in self._consumers.values():
            queues.setdefault((one.holder, not one.no_ack), []).append(one.queue)
        self._turns += 1
        for (holder, keep), names in queues.items():
            room = INBOX - len(self._inbox)
            if keep and holder.prefetch:
                room = min(room, holder.prefetch - sum(own is holder for own in self._held.values()))
            if room > 0:
                start = self._turns % len(names)
                yield holder, Wanted(names[start:] + names[:start], room, keep=keep)

    def _receive(self, holder: Holder, deliveries: Sequence[Delivery], *, keep: bool) -> None:
        """Put messages into the inbox; those whose consumer was cancelled meanwhile are returned."""
        own = [one for one in self._consumers.values() if one.holder is holder and one.no_ack is not keep]
        consumers = {one.queue: one for one in own}
        for delivery in deliveries:
            if consumer := consumers.get(delivery.queue):
                self._inbox.append((consumer, delivery))
                self._writer.send(b"!")
                if keep:
                    self._held[delivery.id] = holder
            elif keep:
                self._returned.add(delivery.id)

    def _renew(self) -> None:
        """Extend leases, renew the routes of consumed temporary queues, and delete queues that others left behind."""
        now = time.monotonic()
        if now >= self._renew_at:
            with self._lock:
                held, consumed = list(self._held), {one.queue for one in self._consumers.values()}
                routes = [route for queue in consumed for route in self._routes.get(queue, ())]
            if held:
                self._store.renew(self._owner, self._lease, held)
            if routes:
                self._store.bind(routes)
            self._renew_at = now + self._lease / 3
        if now >= self._sweep_at:
            self._store.sweep()
            self._sweep_at = now + 2 * self._lease


def _close(*sockets: socket.socket) -> None:
    for one in sockets:
        one.close()


def _run(receiver_of: "weakref.ref[Receiver]", wake: threading.Event, store: MessageStore) -> None:
    """The thread, which does not keep the connection alive."""
    pause = 0.0
    while True:
        if wake.wait(pause):
            wake.clear()
            time.sleep(GATHER)
        receiver = receiver_of()
        if receiver is None or receiver.stopping:
            break
        pause = receiver.attempt()
        del receiver
    with suppress(DatabaseUnavailable):
        store.close()
