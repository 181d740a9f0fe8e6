"""``pacifica-dispatcher-cmd``: the commands beside the server's own."""

from collections.abc import Mapping

import click

from .exits import EPILOGUE
from .lazy import Entry, LazyGroup

COMMANDS: Mapping[str, Mapping[str, Entry]] = {
    "Jobs": {},
    "Service": {
        "up": Entry(".up:up", "Start web server and worker on this machine, and try them."),
    },
    "Database": {
        "dbsync": Entry(".schema:dbsync", "Bring the schema of the database to this release's version, or to another."),
        "dbchk": Entry(".schema:dbchk", "Tell the schema's version, what is pending, and how the tables differ."),
        "purge": Entry(".purge:purge", "Delete jobs that have ended, with their labels and history."),
    },
    "Operating": {
        "token": Entry(".token:token", "Make, list and revoke the bearer tokens of the HTTP API."),
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
