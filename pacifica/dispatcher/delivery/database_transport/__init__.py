"""``database://``: Celery's messages in a table of the service's own database.

It carries what has no row: remote control, events, and the messages of plain Celery tasks such as ``chord_unlock``.
Jobs need no message, as workers claim their rows (``store/work_queue.py``). It is a kombu virtual transport, and
importing this package registers it. The URL is always plain ``database://``; a transport option names the database:

    Celery(broker="database://", broker_transport_options={"database": Database(url)})

Other options: ``peewee_url``, a database URL in place of ``database``; and ``lease`` (30), the seconds after which the
messages of a dead consumer are free again.

Source: https://docs.celeryq.dev/projects/kombu/en/stable/reference/kombu.transport.virtual.html
"""

from kombu.transport import TRANSPORT_ALIASES

DRIVER = "peewee"
"""The transport's ``driver_name``; kombu imports the transport for its first connection."""

# The only way to register a transport: kombu reads no entry points for them.
TRANSPORT_ALIASES["database"] = f"{__name__}.connection:Transport"
