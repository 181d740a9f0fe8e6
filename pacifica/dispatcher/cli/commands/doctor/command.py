"""``doctor``: sends one probe job through all stages, and says what to do where it gets stuck."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ....client import BadAddress, BadToken, DispatcherClient
from ....client.client import DEFAULT_URL
from ....client.retries import NEVER
from ....config.load import find_sources
from ....core.errors import ConfigError
from ...database_options import config_option
from ...exit_codes import Exit
from ...output import print_json
from ...parameter_types import JsonArray
from .adoption import adoption_report, show_report
from .checks import Finding, StageVerdict, show, skipped
from .local_checks import STAGES, LocalChecks
from .probe_job import ANSWER, Probe, ProbeChecks

DEFAULT_ARGS = {"add": [2, 2]}


@click.command()
@click.option("--url", envvar="DISPATCHER_URL", show_envvar=True, help=f"The server.  [default: {DEFAULT_URL}]")
@click.option("--token", envvar="DISPATCHER_TOKEN", show_envvar=True, metavar="TOKEN", help="The bearer token to send.")
@config_option
@click.option("--task", default="add", show_default=True, help="The task of the probe job.")
@click.option("--args", type=JsonArray(), help="Its arguments, a JSON array.  [default: [2, 2] for add, else []]")
@click.option("--queue", help="The queue of the probe job; by default that of the task.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 86_400),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="How long each stage of the probe job may take.",
)
@click.option("--adopt", is_flag=True, help="Show how the service sees the tasks of your Celery application instead.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end, for programs.")
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
    adopt: bool,
    as_json: bool,
) -> None:
    """Send one job through all stages, and say where it gets stuck.

    On the machine of the service it also reads the configuration, and checks database and broker: run it in the
    directory where the server runs. With --url and without a configuration in this directory, it checks what a
    client can see. The times of the job are by the clocks of server and worker. If the broker of the configuration
    cannot be reached, but the job reaches a worker through another one, this is only a remark (!); so is a broker that
    answers, and that the worker does not use.

    With --adopt it sends no job and connects to nothing: it imports the application that [dispatcher] adopt names, and
    shows each task with its signature and its differences from Celery alone. Exit code 1 then says that something must
    be done.

    Exit codes: 0 no stage failed, 1 a stage failed, 2 the server refused the probe job, 3 the server cannot be
    reached, 4 a stage of the probe job timed out.
    """
    if adopt:
        ctx.exit(show_report(adoption_report(config), as_json=as_json))
    local = LocalChecks(config) if url is None or _is_configured(config) else None
    probe = Probe(task, args or DEFAULT_ARGS.get(task, []), queue, timeout)
    findings = []
    with _client(url, token) as client:
        for finding in _findings(local, ProbeChecks(client, probe, local)):
            findings.append(finding)
            if not as_json:
                show(finding)
    ending = max(finding.ending for finding in findings)
    if as_json:
        print_json({"ok": not ending, "stages": [finding.as_json() for finding in findings]})
    ctx.exit(ending)


def _findings(local: LocalChecks | None, probe: ProbeChecks) -> Iterator[Finding]:
    """Each stage; a broker failure comes last, as only the probe job shows whether the service uses that broker."""
    broker = None
    for finding in local.run() if local else _no_local_checks():
        if finding.stage == "broker" and finding.ending:
            broker = finding
        else:
            yield finding
    for finding in probe.run():
        yield finding
    if broker is not None:
        yield _unused(broker) if finding.stage == "seen" else broker
    elif local is not None and finding.stage == "seen" and (message := local.why_unused(probe.worker)):
        yield _unused(Finding("broker", StageVerdict.REMARK, message))


def _no_local_checks() -> Iterator[Finding]:
    return (skipped(stage, "there is no configuration in this directory") for stage in STAGES)


def _unused(broker: Finding) -> Finding:
    """The broker's failure as a remark, after a probe job that did not need this broker."""
    advice = (
        "The probe job reached its end, so server and worker use another broker than this configuration: up uses the "
        "database, unless --broker names another one. Name their broker in [celery] broker_url (BROKER_URL), or ignore "
        "this remark."
    )
    return replace(broker, verdict=StageVerdict.REMARK, advice=advice, ending=Exit.SUCCESS)


def _client(url: str | None, token: str | None) -> DispatcherClient:
    try:
        return DispatcherClient(url, token=token, timeout=ANSWER, retries=NEVER)
    except BadAddress as error:
        raise click.BadParameter(str(error), param_hint="--url") from None
    except BadToken as error:
        raise click.BadParameter(str(error), param_hint="--token") from None


def _is_configured(config: Path | None) -> bool:
    """Whether there is a configuration other than the defaults."""
    if any(os.environ.get(name) for name in ("PEEWEE_URL", "BROKER_URL")):
        return True
    try:
        return find_sources(config).path is not None
    except ConfigError:
        return True
