"""A parameter sweep: one job for each point of a grid, all results in one table.

    pacifica-dispatcher-cmd up             # in another terminal: a service on this machine
    python examples/sweep.py               # the task mul, which is always there
    python examples/sweep.py lab.yield_of  # a task of your own, which takes temperature and pressure

Run it again, also after Ctrl-C: the same grid under the same name is the same jobs, and what has been computed is
not computed again (for a day). DISPATCHER_URL says where the service is, DISPATCHER_TOKEN who you are.
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
    """Dispatch the whole grid, then wait for one point after the other; they run side by side meanwhile."""
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
    """The result of a point, or why it has none."""
    if isinstance(job, Problem):
        return f"[red]refused: {job.detail}"
    try:
        return str(job.result(timeout=600))
    except JobFailed as error:
        return f"[red]failed: {error.type}: {error.message}"
    except JobRevoked:
        return "[yellow]cancelled"


def main() -> None:
    """Sweep with the task that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", default="mul", help="what to compute for each temperature and pressure")
    task = parser.parse_args().task
    try:
        with DispatcherClient() as client:
            Console().print(sweep(client, task))
    except ClientError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
