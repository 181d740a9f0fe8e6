"""``doctor``: one canary sent all the way, and what to do where it does not come through."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ....client import BadToken
from ....client.connection import Bearer
from ....config.load import find_sources
from ....core import strict_json
from ....core.errors import ConfigError
from ...database_options import config_option
from ...screen import print_json
from .checks import Finding, remark, show, skipped
from .local_checks import STAGES, Premises
from .probe_job import Canary, Flight

DEFAULT_URL = "http://127.0.0.1:8050"
DEFAULT_ARGS = {"add": [2, 2]}


class JsonArray(click.ParamType):  # type: ignore[type-arg]
    """A JSON array."""

    name = "JSON"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Any]:
        """The array."""
        try:
            found = strict_json.loads(value)
        except ValueError as error:
            self.fail(f"{value!r} is no JSON array: {error}.", param, ctx)
        if not isinstance(found, list):
            self.fail(f"{value!r} is no JSON array.", param, ctx)
        return found


@click.command()
@click.option("--url", envvar="DISPATCHER_URL", show_envvar=True, help=f"The server.  [default: {DEFAULT_URL}]")
@click.option("--token", envvar="DISPATCHER_TOKEN", show_envvar=True, metavar="TOKEN", help="The bearer token to send.")
@config_option
@click.option("--task", default="add", show_default=True, help="The canary's task.")
@click.option("--args", type=JsonArray(), help="Its arguments, a JSON array.  [default: [2, 2] for add, else []]")
@click.option("--queue", help="The queue that the canary takes; by default the task's own.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 86_400),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="How long a worker may take to take the canary, and to run it.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end, for programs.")
@click.pass_context
def doctor(  # noqa: PLR0913 - each is an option
    ctx: click.Context,
    *,
    url: str | None,
    token: str | None,
    config: Path | None,
    task: str,
    args: list[Any] | None,
    queue: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Send one job all the way, and say what to do if it gets stuck.

    On the service's machine it reads the configuration, and looks at database and broker, too: run it in the
    folder where the server runs. With --url alone, and no configuration here, it sees what a client sees.
    The times of a job are those of the clocks of server and worker. A broker of the configuration that cannot be
    reached is a mere remark (!) when the job comes through by another one.

    Exit codes: 0 all is well, 1 a stage failed, 2 the server refused the canary, 3 the server is not reachable,
    4 the canary was not back in time.
    """
    if url is not None and not url.startswith(("http://", "https://")):
        raise click.BadParameter(f"{url!r} is no address; one looks like {DEFAULT_URL}.", param_hint="--url")
    bearer = _bearer(token)
    premises = Premises(config) if url is None or _is_configured(config) else None
    flight = Flight(url or DEFAULT_URL, bearer, task, args or DEFAULT_ARGS.get(task, []), queue, timeout)
    findings = []
    for finding in _examine(premises, flight):
        findings.append(finding)
        if not as_json:
            show(finding)
    ending = max(finding.ending for finding in findings)
    if as_json:
        print_json({"ok": not ending, "stages": [finding.as_json() for finding in findings]})
    ctx.exit(ending)


def _examine(premises: Premises | None, flight: Flight) -> Iterator[Finding]:
    """Each stage; a broker that is away comes last, as only the canary tells whether anybody uses it."""
    away = None
    for finding in _around(premises):
        if finding.stage == "broker" and finding.ending:
            away = finding
        else:
            yield finding
    for finding in Canary(flight, premises).fly():
        yield finding
    if away is not None:
        yield _unused(away) if finding.stage == "seen" else away


def _around(premises: Premises | None) -> Iterator[Finding]:
    if premises is None:
        return (skipped(stage, "there is no configuration here") for stage in STAGES)
    return premises.look()


def _unused(broker: Finding) -> Finding:
    """What of the broker's failure is left when the canary has come through without it."""
    advice = (
        "The canary came through, so server and worker have another broker than this configuration: up has the "
        "database, unless it was told --broker. Name theirs in [celery] broker_url (BROKER_URL), or leave it."
    )
    return remark(broker.stage, broker.told, advice)


def _bearer(token: str | None) -> Bearer:
    try:
        return Bearer(token)
    except BadToken as error:
        raise click.BadParameter(str(error), param_hint="--token") from None


def _is_configured(config: Path | None) -> bool:
    """Whether a configuration is here beside the defaults."""
    if any(os.environ.get(name) for name in ("PEEWEE_URL", "BROKER_URL")):
        return True
    try:
        return find_sources(config).path is not None
    except ConfigError:
        return True
