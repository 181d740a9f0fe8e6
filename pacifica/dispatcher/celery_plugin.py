"""The parts of the package that a Celery project loads: its command line, and ``adopt``.

Celery's command line imports this module, as the package's entry point in the group ``celery.commands`` names it; so
it imports nothing else of the package before a configuration asks for it.
Source: https://docs.celeryq.dev/en/stable/userguide/extending.html#adding-new-celery-sub-commands
"""

import logging
import os
import sys
from typing import Any

import click
from celery import Celery, signals

logger = logging.getLogger(__name__)


def adopt(app: Celery) -> Celery:
    """Make the runs of an application's tasks jobs of the dispatcher; call it right after ``app = Celery(…)``.

    The configuration is that of the working directory, or the one that ``DISPATCHER_CONFIG`` names. Returns the same
    application. Raises ``ConfigError`` if the configuration has faults.
    """
    from .adoption import take_over
    from .config.load import load_settings
    from .container import Container

    container = Container(load_settings)
    container.app = take_over(app, container)
    return app


def adopt_named(sender: Celery, **_: Any) -> None:
    """Adopt the application of Celery's command line before its modules are imported, if the configuration names it.

    Prints the faults of such a configuration and ends the process: an exception would only be logged. A file that
    ``DISPATCHER_CONFIG`` does not name may be that of another program, and then changes nothing.
    """
    if hasattr(type(getattr(sender, "container", None)), "own_app"):  # It is the dispatcher's already.
        return
    from .config.load import VARIABLE, find_sources
    from .core.errors import ConfigError

    try:
        sources = find_sources()
    except ConfigError as error:
        if os.environ.get(VARIABLE):
            sys.exit(f"Error: {error}")
        return
    if not (names := sources.names("dispatcher", "adopt")):
        return
    from .adoption import is_named

    if not is_named(sender, names):
        sentence = "The application %s runs without the dispatcher: [dispatcher] adopt names others (%s)."
        logger.warning(sentence, sender.main, ", ".join(names))
        return
    from .worker.signals import connect

    try:
        adopt(sender)
    except ConfigError as error:
        sys.exit(f"Error: {error}")
    connect(sender)


@click.command(name="dispatcher")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Show how Pacifica Dispatcher sees the tasks of the application.

    It works without a configuration, connects to nothing and changes nothing. Exit code 1 says that something must be
    done; it is what `pacifica-dispatcher-cmd doctor --adopt` shows.
    """
    from .cli.commands.doctor.adoption import report_of, show_report
    from .core.errors import DispatcherError

    try:
        report = report_of(ctx.obj.app)
    except DispatcherError as error:
        raise click.ClickException(str(error)) from error
    ctx.exit(show_report(report, as_json=as_json))


signals.import_modules.connect(adopt_named)
