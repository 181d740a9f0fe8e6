"""Commands that are given several jobs: what is wrong with one of them keeps none of the others."""

from collections.abc import Callable, Iterable, Iterator

import click

from ..client import JobStatus, Refused
from .exit_codes import Exit

GRAVEST_FIRST = (Exit.REFUSED, Exit.TIMED_OUT, Exit.FAILED)


class Faults:
    """What has gone wrong so far; it is told at once, and the gravest decides how the command ends."""

    def __init__(self) -> None:
        self._met: set[Exit] = set()

    def tell(self, ending: Exit, told: str) -> None:
        """Tell it as click would, and go on."""
        click.echo(f"Error: {told}", err=True)
        self._met.add(ending)

    def each(self, uuids: Iterable[str], ask: Callable[[str], JobStatus]) -> Iterator[JobStatus]:
        """What is answered for each, once; raises ``Refused`` only when the service does not know the caller."""
        for uuid in dict.fromkeys(uuids):
            try:
                job = ask(uuid)
            except Refused as error:
                if error.status == 401:
                    raise
                self.tell(Exit.REFUSED, str(error))
            else:
                yield job

    def end(self) -> None:
        """End the command, if there were any."""
        for ending in GRAVEST_FIRST:
            if ending in self._met:
                click.get_current_context().exit(ending)
