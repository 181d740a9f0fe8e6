"""``pacifica-dispatcher-cmd``: the commands beside the server's own."""

import click

from .purge import purge
from .schema import dbchk, dbsync
from .token import token
from .up import up


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pacifica-dispatcher", prog_name="pacifica-dispatcher-cmd")
def main() -> None:
    """Run and look after Pacifica Dispatcher."""


main.add_command(dbchk)
main.add_command(dbsync)
main.add_command(purge)
main.add_command(token)
main.add_command(up)
