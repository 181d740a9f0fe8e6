"""The tasks, and a worker: `python -m work NUMBER`."""

import os
import sys
import threading

from dbos import DBOS

URL = os.environ.get("BENCH_POSTGRESQL_URL", "sqlite:///dbos.sqlite3")
QUEUE = "jobs"


@DBOS.workflow()
def add(x: int, y: int) -> int:
    """Add two numbers."""
    return x + y


if __name__ == "__main__":
    config = {"name": "bench", "system_database_url": URL, "executor_id": sys.argv[1], "log_level": "WARNING"}
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(QUEUE, polling_interval_sec=0.01)
    threading.Event().wait()
