"""``retry``: a new job with the task and the arguments of an earlier one."""

import click

from ..http_options import HttpContext, http_command, uuid_argument


@click.command()
@uuid_argument
@click.option("--key", help="The Idempotency-Key: the same key returns the same new job, however often it is sent.")
@http_command
def retry(context: HttpContext, uuid: str, key: str | None) -> None:
    """Dispatch a job again with the same task and arguments.

    The UUID of the new job is printed.
    """
    job = context.client.job(uuid).retry(idempotency_key=key)
    context.show(job.seen and job.seen.document, job.uuid)
