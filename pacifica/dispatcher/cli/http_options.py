"""Shared by the commands that send HTTP requests: options, client, and the exit code of each error."""

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import click

from ..client import ClientError, DispatcherClient, JobStatus, NoResult, NotReachable, Refused, Retry, TimedOut
from ..client.client import DEFAULT_URL
from ..client.retries import USUAL
from ..core.control_characters import one_line
from .exit_codes import CommandEnded, CommandFailed, CommandRefused, CommandTimedOut, Exit, Faults, ServerUnreachable
from .output import print_json, print_line, print_result

Command = Callable[..., None]
FEW = USUAL.new(total=3)
"""The retries of most commands: a person at a terminal wants to know soon that the server is away."""

uuids_argument = click.argument("uuids", metavar="UUID…", nargs=-1, required=True)
uuid_argument = click.argument("uuid", metavar="UUID")
_EXCEPTIONS: tuple[tuple[type[ClientError], type[CommandEnded]], ...] = (
    (NotReachable, ServerUnreachable),
    (TimedOut, CommandTimedOut),
    (NoResult, CommandFailed),
    (ClientError, CommandRefused),
)
"""The first class of which an error is an instance decides."""


@dataclass(frozen=True, slots=True)
class HttpContext:
    """The client of the service, and whether the command prints JSON for programs."""

    client: DispatcherClient
    as_json: bool

    def show(self, value: Any, text: str) -> None:
        """Print the value as JSON for a program, or the text for a person."""
        if self.as_json:
            print_json(value)
        else:
            print_line(text)

    def show_result(self, result: Any) -> None:
        """Print a result alone: as JSON for a program, or bare."""
        if self.as_json:
            print_json(result)
        else:
            print_result(result)

    def each_job(
        self, uuids: Iterable[str], request: Callable[[str], JobStatus], faults: Faults
    ) -> Iterator[JobStatus]:
        """The answer for each UUID, once; a refusal becomes a fault, unless the token is not valid (401)."""
        for uuid in dict.fromkeys(uuids):
            try:
                job = request(uuid)
            except Refused as error:
                if error.status == 401:
                    raise
                faults.show(Exit.REFUSED, str(error))
            else:
                yield job


def http_command(command: Command, *, retries: Retry = FEW) -> Command:
    """Give a command the options that all HTTP commands have, and an ``HttpContext`` as its first argument."""

    @click.option(
        "--url",
        envvar="DISPATCHER_URL",
        default=DEFAULT_URL,
        show_default=True,
        show_envvar=True,
        help="The URL of the service.",
    )
    @click.option(
        "--token", envvar="DISPATCHER_TOKEN", show_envvar=True, metavar="TOKEN", help="The bearer token to send."
    )
    @click.option("--json", "as_json", is_flag=True, help="Print JSON for programs, one value per line.")
    @functools.wraps(command)
    def run(*, url: str, token: str | None, as_json: bool, **given: Any) -> None:
        try:
            with DispatcherClient(url, token=token, retries=retries) as client:
                command(HttpContext(client, as_json), **given)
        except ClientError as error:
            ending = next(exception for kind, exception in _EXCEPTIONS if isinstance(error, kind))
            raise ending(one_line(str(error))) from error

    return run


def patient_http_command(command: Command) -> Command:
    """An ``http_command`` that runs for a long time, and retries long enough to survive a restart of the service."""
    return http_command(command, retries=USUAL)
