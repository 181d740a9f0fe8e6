"""``database://``: Celery's messages in a table of the service's own database.

A kombu virtual transport. Importing this package makes the URL known to kombu. The database comes as
a transport option, as the URL is always plain ``database://``:

    Celery(broker="database://", broker_transport_options={"database": Database(url)})

Other options: ``peewee_url`` instead of ``database``; ``lease``, the seconds after which the messages
of a dead consumer are free again (30); ``polling_interval``, the seconds between two looks for
messages where much is going on (0.004); ``durable``, whether persistent messages are written with SQLite's
``synchronous=FULL`` (no: of what one process writes, a power cut takes the latest first, so a row
that says "published" never outlives its message).

Source: https://docs.celeryq.dev/projects/kombu/en/stable/reference/kombu.transport.virtual.html
"""

from kombu.transport import TRANSPORT_ALIASES

DRIVER = "peewee"
"""The ``driver_name`` of the transport, which is imported once a connection is of its kind."""

# kombu knows transports by this table alone: it reads no entry points for them.
TRANSPORT_ALIASES["database"] = f"{__name__}.connection:Transport"
