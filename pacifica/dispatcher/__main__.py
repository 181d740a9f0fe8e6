"""The embedded server: ``python -m pacifica.dispatcher``, or ``pacifica-dispatcher``."""

import argparse
import configparser
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cherrypy

from . import rest
from .app import DispatcherApp
from .config.load import load_settings
from .core.errors import ConfigError, DatabaseUnavailable, SchemaMismatch
from .core.permissions import is_loopback
from .logs.setup import configure
from .web.brief import Brief
from .web.middleware.access_log import use_files
from .web.middleware.request_spans import trace_requests
from .web.server.embedded import Server

DEFAULTS = {
    "server.socket_host": "127.0.0.1",
    "server.socket_port": 8050,
    "server.socket_queue_size": 128,
    "server.max_request_header_size": 32_768,
    "engine.autoreload.on": False,
    "log.screen": False,
}

OPTIONS: Sequence[tuple[Sequence[str], Mapping[str, Any]]] = (
    (
        ("-c", "--config"),
        {
            "type": Path,
            "metavar": "FILE",
            "help": "the INI file (default: $DISPATCHER_CONFIG, ./config.ini, ~/.pacifica-dispatcher/config.ini)",
        },
    ),
    (
        ("--cp-config",),
        {"type": Path, "metavar": "FILE", "help": "a CherryPy configuration file (default: $DISPATCHER_CPCONFIG)"},
    ),
    (("-a", "--address"), {"help": "the address to listen at (default: 127.0.0.1)"}),
    (("-p", "--port"), {"type": int, "help": "the port to listen at (default: 8050)"}),
)


class UsageError(Exception):
    """What the command line says cannot be done."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM; returns the exit code: 0, or 1 with a sentence on standard error."""
    given = _parse(arguments)
    try:
        app = DispatcherApp(lambda: load_settings(given.config))
        configure(app.settings.logging)
        app.prepare()
        tree = rest.mount(app.service, app.settings.auth, app.tokens, app.settings.dispatcher.body_limit, app.monitor)
        trace_requests(tree, app.tracing)
        _configure(tree, given)
        use_files(app.settings.logging)
        _check_address(app.settings.auth.anonymous)
    except (ConfigError, DatabaseUnavailable, SchemaMismatch, UsageError) as error:
        sys.stderr.write(f"pacifica-dispatcher: {error}\n")
        return 1
    cherrypy.tree.mount(tree, "")
    cherrypy.server.instance = Server(cherrypy.server, app.settings.dispatcher.body_limit)
    engine = cherrypy.engine
    cherrypy.server.instance.on_refusal = app.monitor.counts.unread
    brief = Brief(files=app.database.sqlite, common=cherrypy.config, own=tree.config)
    cherrypy.server.instance.is_brief = brief
    app.feed.places = min(app.feed.places, cherrypy.server.thread_pool // 2)
    app.watch()
    engine.subscribe("stop", app.feed.stop, priority=10)  # Before the server waits for its threads.
    engine.subscribe("start", app.relay.start)
    engine.subscribe("start", app.upkeep.start)
    engine.subscribe("stop", app.relay.stop)
    engine.subscribe("stop", app.upkeep.stop)
    _serve(engine)
    return 0


def _serve(engine: Any) -> None:
    """Serve until SIGTERM, which counts once, and not before all has started.

    CherryPy would stop, in the middle of its start or of its stop, what has not started or is just stopping.
    """
    asked = False

    def end() -> None:
        nonlocal asked
        asked = True
        if engine.state == engine.states.STARTED:
            engine.exit()

    engine.signal_handler.handlers["SIGTERM"] = end
    engine.signals.subscribe()
    engine.start()
    if asked and engine.state == engine.states.STARTED:
        engine.exit()
    engine.block()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="pacifica-dispatcher",
        description="Serve the HTTP API of Pacifica Dispatcher.",
        epilog="Workers are started beside it: celery -A pacifica.dispatcher.tasks worker -l info",
    )
    for names, options in OPTIONS:
        parser.add_argument(*names, **options)
    parser.set_defaults(cp_config=_cp_config())
    return parser.parse_args(arguments)


def _cp_config() -> Path | None:
    named = os.environ.get("DISPATCHER_CPCONFIG")
    return Path(named) if named else None


def _configure(tree: cherrypy.Application, given: argparse.Namespace) -> None:
    """CherryPy's settings: our defaults, over them the file, over that the command line."""
    cherrypy.config.update(DEFAULTS)
    if given.cp_config is not None:
        try:
            cherrypy.config.update(str(given.cp_config))
            tree.merge(str(given.cp_config))
        except OSError as error:
            raise UsageError(f"The CherryPy file {given.cp_config} cannot be read: {error.strerror}.") from error
        except (ValueError, configparser.Error) as error:
            raise UsageError(f"The CherryPy file {given.cp_config} has a fault: {error}") from error
    own = {"server.socket_host": given.address, "server.socket_port": given.port}
    cherrypy.config.update({key: value for key, value in own.items() if value is not None})


def _check_address(anonymous: str) -> None:
    """Refuse to let anybody on the network in unless the configuration says so."""
    host = cherrypy.server.socket_host
    if anonymous != "loopback" or cherrypy.server.socket_file or (host and is_loopback(host)):
        return
    raise UsageError(
        f"It will not listen at {host or 'every address'}, as anybody who reaches that could dispatch jobs. In the "
        "configuration, [auth] anonymous = none asks everybody for a token (pacifica-dispatcher-cmd token create), "
        "and anonymous = anywhere lets everybody in (DISPATCHER_ANONYMOUS in the environment does the same); "
        "or listen at 127.0.0.1."
    )


if __name__ == "__main__":
    sys.exit(main())
