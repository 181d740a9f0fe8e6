"""``pacifica-dispatcher-cmd``: the commands beside the server's own."""

from collections.abc import Mapping

import click

from .exit_codes import EPILOGUE
from .lazy_group import Entry, LazyGroup

COMMANDS: Mapping[str, Mapping[str, Entry]] = {
    "Jobs": {
        "dispatch": Entry(".jobs:dispatch", "Dispatch a job of TASK, and print its UUID."),
        "batch": Entry(".batch:batch", "Dispatch a job for each line of FILE, once, however often run."),
        "status": Entry(".jobs:status", "Show jobs as they stand: one in full, several as a table."),
        "result": Entry(".jobs:result", "Print the result of a job, and nothing else."),
        "wait": Entry(".jobs:wait", "Wait until jobs have ended, and print how each did."),
        "search": Entry(".search:search", "List the jobs that fit, newest first."),
        "watch": Entry(".watch:watch", "Watch jobs as they change, in a live table."),
        "cancel": Entry(".jobs:cancel", "Cancel jobs that wait or run."),
        "retry": Entry(".jobs:retry", "Dispatch a job again, with the same task and arguments."),
        "events": Entry(".service:events", "Tell what happened to a job, or to all of them, oldest first."),
    },
    "Service": {
        "up": Entry(".up:up", "Start web server and worker on this machine, and try them."),
        "doctor": Entry(".doctor.command:doctor", "Send one job all the way, and say what to do if it gets stuck."),
        "tasks": Entry(".service:tasks", "List what can be dispatched, or describe one task."),
        "openapi": Entry(".service:openapi", "Print the service's description of itself (OpenAPI 3.1)."),
    },
    "Database": {
        "dbsync": Entry(".schema:dbsync", "Bring the schema of the database to that of this release."),
        "dbchk": Entry(".schema:dbchk", "Compare the schema of the database with that of this release."),
        "purge": Entry(".purge:purge", "Delete jobs that have ended, with their labels and history."),
    },
    "Operating": {
        "token": Entry(".token:token", "Make, list and revoke the bearer tokens of the HTTP API."),
        "config": Entry(".config:config", "Show and check the configuration."),
        "completion": Entry(".completion:completion", "Print the script that completes these commands in your shell."),
    },
}
"""Every command by its section of the help; a test holds each line to what the command itself says."""


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    epilog=EPILOGUE,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="pacifica-dispatcher", prog_name="pacifica-dispatcher-cmd")
def main() -> None:
    """Dispatch jobs, and run and look after Pacifica Dispatcher.

    COMMAND --help tells more of each.
    """
