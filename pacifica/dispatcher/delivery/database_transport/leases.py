"""The messages that one connection of the ``database://`` transport holds, and the thread that keeps their leases.

The thread renews leases while the connection's own threads are busy (a solo worker runs its task in the thread that
reads messages), stores acknowledgements that no claim has stored, frees the messages of dead owners, and checks for
new messages on behalf of an event loop.
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
from .watch import MessageWatch

logger = logging.getLogger(__name__)

ACKNOWLEDGE_AFTER = 0.02
"""Seconds that an acknowledgement waits for a claim to store it; a crash meanwhile causes a redelivery."""
SWEEP_EVERY = 2.0
"""Leases between two checks for temporary queues without an owner."""
STOP_TIMEOUT = 5.0
"""Seconds that a closing connection waits for its thread, which a locked database may delay."""
LONGEST_WAIT = 3600.0


class Leases:
    """The messages that one connection holds, under a unique owner's name.

    For any thread. ``lease`` is in seconds, and ``queues`` are those that the connection consumes. A forked process
    writes nothing: the messages belong to its parent.
    """

    def __init__(self, store: MessageStore, lease: float, watch: MessageWatch) -> None:
        self._store = store
        self._lease = lease
        self._watch = watch
        self._owner = uuid.uuid4().hex
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._held: set[int] = set()
        self._done: set[int] = set()
        self._routes: dict[Route, None] = {}
        self.queues: Sequence[str] = ()
        self._wake = threading.Event()
        self._stopping = False
        self._unavailable = False
        self._thread: threading.Thread | None = None
        self._on_messages: Callable[[], None] | None = None
        self._armed = threading.Event()
        now = time.monotonic()
        self._acknowledge_at = now + LONGEST_WAIT
        self._renew_at = now + lease / 3
        self._free_at = now + min(lease / 2, 5.0)
        self._sweep_at = now + lease

    @property
    def ours(self) -> bool:
        """Return whether this process opened the connection, and was not forked since."""
        return os.getpid() == self._pid

    def turn_over(self, wanted: Sequence[Wanted]) -> list[list[Delivery]]:
        """Claim the wanted messages, and store earlier acknowledgements in the same transaction."""
        with self._lock:
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
        """Delete this message with the next claim, or after ``ACKNOWLEDGE_AFTER``."""
        if not self.ours:
            return
        with self._lock:
            self._held.discard(message)
            first = not self._done
            self._done.add(message)
        if first:
            self._acknowledge_at = time.monotonic() + ACKNOWLEDGE_AFTER
            self._wake_thread()

    def release(self, messages: Iterable[int]) -> None:
        """Free these messages at once, or when their lease ends if the database is unavailable."""
        if not self.ours:
            return
        with self._lock:
            ids = [message for message in messages if message in self._held]
            self._held.difference_update(ids)
        if not ids:
            return
        try:
            self._store.release(self._owner, ids)
        except DatabaseUnavailable as error:
            logger.warning("%d messages will be free only when their lease ends: %s", len(ids), error)

    def flush(self) -> None:
        """Store the pending acknowledgements."""
        if not self.ours:
            return
        with self._lock:
            done, self._done = self._done, set()
            try:
                if done:
                    self._store.acknowledge(self._owner, list(done))
            except DatabaseUnavailable:
                self._done |= done
                raise

    def keep_routes(self, routes: Iterable[Route]) -> None:
        """Renew exactly these temporary routes from now on: those of the consumed queues."""
        self._routes = dict.fromkeys(routes)

    def start(self) -> None:
        """Start the thread, unless it is running."""
        with self._lock:
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="message-leases", daemon=True)
                self._thread.start()

    def watch(self, on_messages: Callable[[], None]) -> None:
        """Have the thread check for messages: it calls ``on_messages`` once, and again only after ``rearm``."""
        self._on_messages = on_messages
        self._armed.set()
        self.start()
        self._wake_thread()

    def rearm(self) -> None:
        """Check for messages again: those of the last call of ``on_messages`` have been claimed."""
        if not self._armed.is_set():
            self._armed.set()
            self._wake_thread()

    def stop(self) -> None:
        """End the thread, store acknowledgements, and free all other messages, at the latest when their leases end."""
        self._stopping = True
        if not self.ours:
            return
        self._wake_thread()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(STOP_TIMEOUT)
        try:
            self.flush()
        except DatabaseUnavailable as error:
            logger.warning("Acknowledged messages will be delivered again: %s", error)
        self.release(list(self._held))

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._do_what_is_due()
            except DatabaseUnavailable as error:
                self._on_unavailable(error)
            except Exception:
                # Without this thread, the connection's messages would be delivered to others for no visible reason.
                logger.exception("Unhandled exception while renewing the leases of messages")
                self._rest()
            else:
                self._on_available()
                self._rest()
            self._wake.clear()
        self._watch.close()
        with suppress(DatabaseUnavailable):
            self._store.close()

    def _wake_thread(self) -> None:
        """Have the thread look again at what is due."""
        self._wake.set()
        self._watch.wake()

    def _on_unavailable(self, error: DatabaseUnavailable) -> None:
        """Wait a moment; log an outage once, when it begins."""
        if not self._unavailable:
            logger.warning("Messages wait, and unacknowledged ones may be delivered again: %s", error)
        self._unavailable = True
        self._wake.wait(min(1.0, self._lease / 10))

    def _on_available(self) -> None:
        if self._unavailable:
            logger.warning("The database is available again.")
        self._unavailable = False

    def _rest(self) -> None:
        """Return when something is due, or may be."""
        end = min(self._acknowledge_at, self._renew_at, self._free_at, self._sweep_at)
        if not self._watching():
            self._wake.wait(max(0.0, end - time.monotonic()))
            return
        # An idle worker spends its time here. This sleep costs half of what waiting for an event does.
        while (left := end - time.monotonic()) > 0 and not self._wake.is_set():
            self._watch.sleep(left)
            if not self._watch.can_rest():
                return

    def _watching(self) -> bool:
        return self._on_messages is not None and self._armed.is_set()

    def _do_what_is_due(self) -> None:
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
        if self._on_messages is not None and self._armed.is_set() and self._watch.check():
            self._armed.clear()
            self._on_messages()

    def _flush_or_try_again(self) -> None:
        try:
            self.flush()
        except DatabaseUnavailable:
            self._acknowledge_at = time.monotonic() + 1.0
            raise

    def _renew(self) -> None:
        with self._lock:
            held = set(self._held)
        renewed = self._store.renew(self._owner, self._lease, list(held)) if held else 0
        with self._lock:
            lost = len(held & self._held) - renewed
        if lost > 0:
            logger.warning("%d messages were held for longer than their lease, and may be delivered again.", lost)
        if self._routes:
            self._store.bind(list(self._routes))
