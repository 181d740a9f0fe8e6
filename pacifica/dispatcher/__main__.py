"""The embedded server: ``python -m pacifica.dispatcher``, or ``pacifica-dispatcher``."""

import argparse
import configparser
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cherrypy

from .config.load import load_settings
from .core.errors import ConfigError, DatabaseUnavailable, SchemaMismatch
from .core.permissions import is_loopback
from .web.middleware.access_log import use_files
from .web.server.embedded import Server
from .web_process import WebProcess

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
    """An option, a file that it names, or the address cannot be used."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM; return 0, or 1 after an error message on standard error."""
    given = _parse(arguments)
    try:
        web = WebProcess(lambda: load_settings(given.config))
        _configure(web.tree, given)
        use_files(web.settings.logging)
        _check_address(web.settings.auth.anonymous)
    except (ConfigError, DatabaseUnavailable, SchemaMismatch, UsageError) as error:
        sys.stderr.write(f"pacifica-dispatcher: {error}\n")
        return 1
    cherrypy.tree.mount(web.tree, "")
    server = Server(cherrypy.server, web.settings.dispatcher.body_limit)
    server.on_refusal = web.count_refusal
    server.is_brief = web.brief()
    cherrypy.server.instance = server
    web.limit_waiting(cherrypy.server.thread_pool)
    web.count_events()
    engine = cherrypy.engine
    engine.subscribe("stop", web.stop_waiting, priority=10)  # Before the server waits for its threads.
    engine.subscribe("start", web.start)
    engine.subscribe("stop", web.stop)
    _serve(engine)
    return 0


def _serve(engine: Any) -> None:
    """Serve until SIGTERM. A SIGTERM during the start takes effect after the start; a second one has no effect.

    CherryPy's own handler would stop the engine in the middle of its start or stop.
    """
    stop_requested = False

    def end() -> None:
        nonlocal stop_requested
        stop_requested = True
        if engine.state == engine.states.STARTED:
            engine.exit()

    engine.signal_handler.handlers["SIGTERM"] = end
    engine.signals.subscribe()
    engine.start()
    if stop_requested and engine.state == engine.states.STARTED:
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
    """Set up CherryPy: the command line overrides the file, and the file overrides our defaults."""
    cherrypy.config.update(DEFAULTS)
    if given.cp_config is not None:
        try:
            cherrypy.config.update(str(given.cp_config))
            tree.merge(str(given.cp_config))
        except OSError as error:
            raise UsageError(f"The CherryPy file {given.cp_config} cannot be read: {error.strerror}.") from error
        except (ValueError, configparser.Error) as error:
            raise UsageError(f"The CherryPy file {given.cp_config} is not valid: {error}") from error
    own = {"server.socket_host": given.address, "server.socket_port": given.port}
    cherrypy.config.update({key: value for key, value in own.items() if value is not None})


def _check_address(anonymous: str) -> None:
    """Refuse an address that other machines can reach, unless the configuration admits their requests."""
    host = cherrypy.server.socket_host
    if anonymous != "loopback" or cherrypy.server.socket_file or (host and is_loopback(host)):
        return
    raise UsageError(
        f"The server does not listen at {host or 'every address'}, because everyone who can reach that address could "
        "dispatch jobs. Listen at 127.0.0.1; or set [auth] anonymous = none in the configuration, which requires a "
        "token of every caller (pacifica-dispatcher-cmd token create); or set anonymous = anywhere, which admits "
        "everyone. The environment variable DISPATCHER_ANONYMOUS sets the same."
    )


if __name__ == "__main__":
    sys.exit(main())
