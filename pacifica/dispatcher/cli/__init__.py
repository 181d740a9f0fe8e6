"""``pacifica-dispatcher-cmd``: all commands except the server's own."""

from collections.abc import Mapping

import click

from .exit_codes import EPILOGUE
from .lazy_group import LazyGroup

COMMANDS: Mapping[str, Mapping[str, str]] = {
    "Jobs": {
        "dispatch": "Dispatch a job of TASK, and print its UUID.",
        "batch": "Dispatch one job per line of FILE, however often it is run.",
        "status": "Show the status of jobs: one in full, several as a table.",
        "result": "Print the result of a job, and nothing else.",
        "wait": "Wait until jobs have ended, and print the state of each.",
        "search": "List the matching jobs, newest first.",
        "watch": "Watch jobs change in a live table.",
        "cancel": "Cancel jobs that are waiting or running.",
        "retry": "Dispatch a job again with the same task and arguments.",
        "events": "Print the events of one job or of all jobs, oldest first.",
    },
    "Service": {
        "up": "Start a web server and a worker here, and test them.",
        "init": "Make a folder with a configuration and first tasks.",
        "doctor": "Send one job through all stages, and say where it gets stuck.",
        "tasks": "List the tasks of the service, or describe one of them.",
        "openapi": "Print the OpenAPI 3.1 document of the service.",
    },
    "Database": {
        "dbsync": "Migrate the database to the schema of this release.",
        "dbchk": "Compare the database with the schema of this release.",
        "purge": "Delete jobs that have ended, with their labels and events.",
    },
    "Operating": {
        "token": "Create, list and revoke the bearer tokens of the HTTP API.",
        "config": "Show and check the configuration.",
        "completion": "Print the completion script for a shell.",
    },
}
"""The help of every command by section and name; the command is the attribute of that name in ``commands/<name>``."""


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    epilog=EPILOGUE,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="pacifica-dispatcher", prog_name="pacifica-dispatcher-cmd")
def main() -> None:
    """Dispatch jobs, and operate Pacifica Dispatcher.

    COMMAND --help describes each command.
    """
