"""``database://``: Celery's messages in a table of the service's own database.

A kombu virtual transport. Importing this package registers it with kombu. The URL is always plain ``database://``;
a transport option names the database:

    Celery(broker="database://", broker_transport_options={"database": Database(url)})

Other options, with their defaults:

- ``peewee_url``: a database URL in place of ``database``;
- ``lease`` (30): seconds after which the messages of a dead consumer are free again;
- ``polling_interval`` (0.004): seconds between two checks for messages under load;
- ``durable`` (no): whether persistent messages are written with SQLite's ``synchronous=FULL``. It is not needed: a
  power cut takes the latest writes of a process first, so that no row that says "published" outlives its message.

Source: https://docs.celeryq.dev/projects/kombu/en/stable/reference/kombu.transport.virtual.html
"""

from kombu.transport import TRANSPORT_ALIASES

DRIVER = "peewee"
"""The transport's ``driver_name``; kombu imports the transport for its first connection."""

# The only way to register a transport: kombu reads no entry points for them.
TRANSPORT_ALIASES["database"] = f"{__name__}.connection:Transport"
