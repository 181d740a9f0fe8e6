"""``result``: the result of a job."""

import math

import click

from ..http_options import HttpContext, http_command, uuid_argument
from ..parameter_types import Seconds


@click.command()
@uuid_argument
@click.option(
    "--wait",
    type=Seconds(),
    is_flag=False,
    flag_value=math.inf,
    help="Wait for the result; without SECONDS, as long as it takes.",
)
@http_command
def result(context: HttpContext, uuid: str, wait: float | None) -> None:
    """Print the result of a job, and nothing else.

    Text is printed unchanged, any other value as JSON. In a terminal, control characters are shown as escapes.

    Exit code 1 if the job failed or was revoked, 4 if there is no result yet.

    \b
    Examples:
      pacifica-dispatcher-cmd result $UUID
      pacifica-dispatcher-cmd result $UUID --wait 10m > result.json
    """
    context.show_result(context.client.job(uuid).result(wait or 0.0))
