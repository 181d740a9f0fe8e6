"""``openapi``: the OpenAPI document of the service."""

import click

from ..http_options import HttpContext, http_command
from ..output import print_json


@click.command()
@http_command
def openapi(context: HttpContext) -> None:
    """Print the OpenAPI 3.1 document of the service."""
    print_json(context.client.openapi())
