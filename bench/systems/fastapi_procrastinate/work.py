"""The tasks."""

import os

from procrastinate import App, PsycopgConnector

app = App(connector=PsycopgConnector(conninfo=os.environ["BENCH_POSTGRESQL_URL"], max_size=10))


@app.task
async def add(x: int, y: int) -> int:
    """Add two numbers."""
    return x + y
