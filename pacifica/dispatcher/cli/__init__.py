"""``pacifica-dispatcher-cmd``: all commands except the server's own."""

from collections.abc import Mapping

import click

from .exit_codes import EPILOGUE
from .lazy_group import Entry, LazyGroup

COMMANDS: Mapping[str, Mapping[str, Entry]] = {
    "Jobs": {
        "dispatch": Entry(".dispatch:dispatch", "Dispatch a job of TASK, and print its UUID."),
        "batch": Entry(".batch:batch", "Dispatch one job per line of FILE, even over repeated runs."),
        "status": Entry(".status:status", "Show the status of jobs: one in full, several as a table."),
        "result": Entry(".result:result", "Print the result of a job, and nothing else."),
        "wait": Entry(".wait:wait", "Wait until jobs have ended, and print the state of each."),
        "search": Entry(".search:search", "List the matching jobs, newest first."),
        "watch": Entry(".watch:watch", "Watch jobs change in a live table."),
        "cancel": Entry(".cancel:cancel", "Cancel jobs that are waiting or running."),
        "retry": Entry(".retry:retry", "Dispatch a job again with the same task and arguments."),
        "events": Entry(".events:events", "Print the events of one job or of all jobs, oldest first."),
    },
    "Service": {
        "up": Entry(".up:up", "Start web server and worker on this machine, and test them."),
        "doctor": Entry(".doctor.command:doctor", "Send one job through all stages, and say where it gets stuck."),
        "tasks": Entry(".tasks:tasks", "List the tasks of the service, or describe one of them."),
        "openapi": Entry(".openapi:openapi", "Print the OpenAPI 3.1 document of the service."),
    },
    "Database": {
        "dbsync": Entry(".dbsync:dbsync", "Migrate the database to the schema of this release."),
        "dbchk": Entry(".dbchk:dbchk", "Compare the database with the schema of this release."),
        "purge": Entry(".purge:purge", "Delete jobs that have ended, with their labels and events."),
    },
    "Operating": {
        "token": Entry(".token:token", "Create, list and revoke the bearer tokens of the HTTP API."),
        "config": Entry(".config:config", "Show and check the configuration."),
        "completion": Entry(".completion:completion", "Print the completion script for a shell."),
    },
}
"""Every command by its section of the help; a test compares each line with the command's own help."""


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
