"""A parameter sweep: one job for each point of a grid, all results in one table.

    pacifica-dispatcher-cmd up             # in another terminal: a service on this machine
    python examples/sweep.py               # the built-in task mul
    python examples/sweep.py lab.yield_of  # a task of your own with the arguments temperature and pressure

Run it again at any time, also after Ctrl-C: for a day, the same grid under the same name finds the same jobs, and no
point is computed twice. DISPATCHER_URL and DISPATCHER_TOKEN are the URL of the service and your token.
"""

import argparse
import sys
from itertools import product

from rich.console import Console
from rich.table import Table

from pacifica.dispatcher.client import (
    BatchItem,
    ClientError,
    DispatcherClient,
    JobFailed,
    JobRevoked,
    Problem,
    RemoteJob,
)

NAME = "sweep-2026-11"
TEMPERATURES = [280, 300, 320]
PRESSURES = [1.0, 1.5, 2.0, 2.5]


def sweep(client: DispatcherClient, task: str) -> Table:
    """Dispatch the whole grid, then wait for each point in turn; the jobs run in parallel."""
    points = list(product(TEMPERATURES, PRESSURES))
    items: list[BatchItem] = [
        {"task": task, "args": list(point), "options": {"labels": {"sweep": NAME}}} for point in points
    ]
    jobs = list(client.batch(items, idempotency_key=f"{NAME}-{task}"))
    table = Table("temperature", "pressure", "result", title=f"{task}, sweep {NAME}")
    for (temperature, pressure), job in zip(points, jobs, strict=True):
        table.add_row(str(temperature), str(pressure), outcome(job))
    return table


def outcome(job: RemoteJob | Problem) -> str:
    """The result of a point, or the reason why it has none."""
    if isinstance(job, Problem):
        return f"[red]refused: {job.detail}"
    try:
        return str(job.result(timeout=600))
    except JobFailed as error:
        return f"[red]failed: {error.type}: {error.message}"
    except JobRevoked:
        return "[yellow]cancelled"


def main() -> None:
    """Sweep with the task of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", default="mul", help="the task to run for each temperature and pressure")
    task = parser.parse_args().task
    try:
        with DispatcherClient() as client:
            Console().print(sweep(client, task))
    except ClientError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
