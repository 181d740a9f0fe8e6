"""What one connection of the ``database://`` transport holds, and the thread that keeps it.

The thread renews leases while the connection's own threads are busy (a solo worker runs its task in
the very thread that reads messages), stores acknowledgements that nobody took along, frees what dead
owners held, and, for an event loop, looks for new messages.
"""

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from ...core.errors import DatabaseUnavailable
from ...store.messages import Delivery, MessageStore, Route, Wanted
from .watch import Watch

logger = logging.getLogger(__name__)

ACKNOWLEDGE_AFTER = 0.02
"""Seconds that an acknowledgement waits for a claim to take it along; a crash meanwhile means a redelivery."""
SWEEP_EVERY = 2.0
"""Leases between two looks for temporary queues without an owner."""
STOP_WITHIN = 5.0
"""Seconds that a closing connection waits for its thread, which a locked database may hold up."""
LONGEST_WAIT = 3600.0


class Leases:
    """The messages that one connection holds under an owner's name of its own.

    For any thread. ``lease`` is in seconds. In a process forked from the one that made it, nothing
    is ever written: what is held belongs to the parent. ``queues`` are those that the connection consumes.
    """

    def __init__(self, store: MessageStore, lease: float, watch: Watch) -> None:
        self._store = store
        self._lease = lease
        self._watch = watch
        self._owner = uuid.uuid4().hex
        self._pid = os.getpid()
        self._turn = threading.RLock()
        self._held: set[int] = set()
        self._done: set[int] = set()
        self._routes: dict[Route, None] = {}
        self.queues: Sequence[str] = ()
        self._wake = threading.Event()
        self._stopping = False
        self._is_away = False
        self._thread: threading.Thread | None = None
        self._alarm: Callable[[], None] | None = None
        self._calm = threading.Event()
        now = time.monotonic()
        self._acknowledge_at = now + LONGEST_WAIT
        self._renew_at = now + lease / 3
        self._free_at = now + min(lease / 2, 5.0)
        self._sweep_at = now + lease

    @property
    def ours(self) -> bool:
        """Whether this is the process that made it, and not one forked from there."""
        return os.getpid() == self._pid

    def turn_over(self, wanted: Sequence[Wanted]) -> list[list[Delivery]]:
        """Claim what is wanted; what was acknowledged until now goes with it, in one transaction."""
        with self._turn:
            done, self._done = self._done, set()
            try:
                claimed = self._store.turn_over(self._owner, self._lease, list(done), wanted)
            except DatabaseUnavailable:
                self._done |= done
                raise
            kept = [found for want, found in zip(wanted, claimed, strict=True) if want.keep]
            self._held.update(delivery.id for found in kept for delivery in found)
        if self._held:
            self.start()
        return claimed

    def acknowledge(self, message: int) -> None:
        """Delete this message soon: with the next claim, or after ``ACKNOWLEDGE_AFTER``."""
        if not self.ours:
            return
        with self._turn:
            self._held.discard(message)
            first = not self._done
            self._done.add(message)
        if first:
            self._acknowledge_at = time.monotonic() + ACKNOWLEDGE_AFTER
            self._rouse()

    def release(self, messages: Iterable[int]) -> None:
        """Make these messages free at once; if the database is away, they are when their lease ends."""
        if not self.ours:
            return
        with self._turn:
            ids = [message for message in messages if message in self._held]
            self._held.difference_update(ids)
        if not ids:
            return
        try:
            self._store.release(self._owner, ids)
        except DatabaseUnavailable as error:
            logger.warning("%d messages come back when their lease ends: %s", len(ids), error)

    def flush(self) -> None:
        """Store the acknowledgements that wait."""
        if not self.ours:
            return
        with self._turn:
            done, self._done = self._done, set()
            try:
                if done:
                    self._store.acknowledge(self._owner, list(done))
            except DatabaseUnavailable:
                self._done |= done
                raise

    def keep_routes(self, routes: Iterable[Route]) -> None:
        """Renew exactly these temporary routes from now on; they are those of the queues that are consumed."""
        self._routes = dict.fromkeys(routes)

    def start(self) -> None:
        """Start the thread, unless it runs already."""
        with self._turn:
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="message-leases", daemon=True)
                self._thread.start()

    def watch(self, alarm: Callable[[], None]) -> None:
        """Look for messages in the thread, too: it calls ``alarm`` for some, and not again before ``calm``."""
        self._alarm = alarm
        self._calm.set()
        self.start()
        self._rouse()

    def calm(self) -> None:
        """All messages that the last alarm told of have been claimed."""
        if not self._calm.is_set():
            self._calm.set()
            self._rouse()

    def stop(self) -> None:
        """End the thread, acknowledge what is done and free all else; a database that is away frees it later."""
        self._stopping = True
        if not self.ours:
            return
        self._rouse()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(STOP_WITHIN)
        try:
            self.flush()
        except DatabaseUnavailable as error:
            logger.warning("Acknowledged messages will be delivered again: %s", error)
        self.release(list(self._held))

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._beat()
            except DatabaseUnavailable as error:
                self._away(error)
            except Exception:
                # Without this thread all that is held here would be delivered to others, and nobody would know why.
                logger.exception("The leases of messages are renewed later, after an error nobody has thought of.")
                self._rest()
            else:
                self._back()
                self._rest()
            self._wake.clear()
        self._watch.close()
        with suppress(DatabaseUnavailable):
            self._store.close()

    def _rouse(self) -> None:
        """Have the thread see that there is something else to do than before."""
        self._wake.set()
        self._watch.wake()

    def _away(self, error: DatabaseUnavailable) -> None:
        """Wait a moment; an outage is told of once, when it begins."""
        if not self._is_away:
            logger.warning("Messages wait, and those held may be delivered again: %s", error)
        self._is_away = True
        self._wake.wait(min(1.0, self._lease / 10))

    def _back(self) -> None:
        if self._is_away:
            logger.warning("The database can be used again.")
        self._is_away = False

    def _rest(self) -> None:
        """Return when there is something to do."""
        end = min(self._acknowledge_at, self._renew_at, self._free_at, self._sweep_at)
        if not self._watching():
            self._wake.wait(max(0.0, end - time.monotonic()))
            return
        # An idle worker spends its time here. Dozing costs half of what waiting for an event does.
        while (left := end - time.monotonic()) > 0 and not self._wake.is_set():
            self._watch.doze(left)
            if not self._watch.quiet():
                return

    def _watching(self) -> bool:
        return self._alarm is not None and self._calm.is_set()

    def _beat(self) -> None:
        now = time.monotonic()
        if now >= self._acknowledge_at:
            self._acknowledge_at = now + LONGEST_WAIT
            self._flush_or_try_again()
        if now >= self._renew_at:
            self._renew()
            self._renew_at = now + self._lease / 3
        if now >= self._free_at:
            self._store.free_lapsed(self.queues)
            self._free_at = now + min(self._lease / 2, 5.0)
        if now >= self._sweep_at:
            self._store.sweep()
            self._sweep_at = now + SWEEP_EVERY * self._lease
        if self._alarm is not None and self._calm.is_set() and self._watch.look():
            self._calm.clear()
            self._alarm()

    def _flush_or_try_again(self) -> None:
        try:
            self.flush()
        except DatabaseUnavailable:
            self._acknowledge_at = time.monotonic() + 1.0
            raise

    def _renew(self) -> None:
        with self._turn:
            held = set(self._held)
        renewed = self._store.renew(self._owner, self._lease, list(held)) if held else 0
        with self._turn:
            lost = len(held & self._held) - renewed
        if lost > 0:
            logger.warning("%d messages were held longer than their lease and may be delivered again.", lost)
        if self._routes:
            self._store.bind(list(self._routes))
