"""The embedded server: ``python -m pacifica.dispatcher``, or ``pacifica-dispatcher``."""

import argparse
import configparser
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cherrypy
from cherrypy.process.servers import ServerAdapter

from .config.load import load_settings
from .config.settings import Settings
from .core import parent_watch
from .core.errors import ConfigError, DatabaseUnavailable, SchemaMismatch
from .core.permissions import is_loopback
from .logs.setup import configure
from .web.server.listener import listen, listen_at_path
from .web.server.server import Server
from .web.server.supervisor import LISTENER, Supervisor, inherited_listener

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


class _Adapter(ServerAdapter):  # type: ignore[misc]
    """CherryPy's adapter, for a server that listens before it starts."""

    @property
    def description(self) -> str:
        """The place where the server listens, for the log."""
        return str(self.httpserver)


class UsageError(Exception):
    """An option, a file that it names, or the address cannot be used."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM; return 0, or 1 after an error message on standard error."""
    given = _parse(arguments)
    try:
        settings = load_settings(given.config)
        _configure(given)
        _check_server(settings.auth.anonymous)
        if settings.server.processes > 1 and LISTENER not in os.environ:
            return _supervise(settings, sys.argv[1:] if arguments is None else arguments)
        _serve_here(settings, given.cp_config)
    except (ConfigError, DatabaseUnavailable, SchemaMismatch, UsageError) as error:
        sys.stderr.write(f"pacifica-dispatcher: {error}\n")
        return 1
    return 0


def _serve_here(settings: Settings, cp_config: Path | None) -> None:
    from .web.middleware.access_log import use_files  # The parent of several processes needs none of these.
    from .web_process import WebProcess

    web = WebProcess(lambda: settings)
    if cp_config is not None:
        _read_file(cp_config, web.tree.merge)
    use_files(settings.logging)
    engine = cherrypy.engine
    cherrypy.tree.mount(web.tree, "")
    cherrypy.server.unsubscribe()
    server = Server(cherrypy.tree, _listen(), web.server_options(cherrypy.server))
    _Adapter(engine, server).subscribe()
    web.count_events()
    engine.subscribe("stop", web.stop_waiting, priority=10)  # Before the server waits for its requests.
    engine.subscribe("start", web.start)
    engine.subscribe("stop", web.stop)
    _serve(engine)


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


def _configure(given: argparse.Namespace) -> None:
    """Set up CherryPy: the command line overrides the file, and the file overrides our defaults."""
    cherrypy.config.update(DEFAULTS)
    if given.cp_config is not None:
        _read_file(given.cp_config, cherrypy.config.update)
    own = {"server.socket_host": given.address, "server.socket_port": given.port}
    cherrypy.config.update({key: value for key, value in own.items() if value is not None})


def _read_file(path: Path, read: Callable[[str], object]) -> None:
    try:
        read(str(path))
    except OSError as error:
        raise UsageError(f"The CherryPy file {path} cannot be read: {error.strerror}.") from error
    except (ValueError, configparser.Error) as error:
        raise UsageError(f"The CherryPy file {path} is not valid: {error}") from error


def _supervise(settings: Settings, arguments: Sequence[str]) -> int:
    """Serve from several processes, whose metrics are added up."""
    if os.name == "nt":
        raise UsageError("On Windows, [server] processes must be 1.")
    from .monitoring.metrics import shared_folder

    parent_watch.start(os.environ)
    configure(settings.logging)
    listener = _listen()
    try:
        shared_folder.prepare(os.geteuid(), os.getegid())
    except OSError as error:
        sys.stderr.write(f"Each process reports its own metrics only, as no folder can be made for them: {error}\n")
    command = [sys.executable, "-m", "pacifica.dispatcher", *arguments]
    try:
        return Supervisor(command, settings.server.processes, listener, os.environ).run()
    finally:
        shared_folder.remove()


def _check_server(anonymous: str) -> None:
    """Refuse TLS, and an address that other machines can reach, unless the configuration admits their requests."""
    server = cherrypy.server
    if server.ssl_certificate or server.ssl_private_key or server.ssl_context:
        raise UsageError(
            "The server has no TLS of its own: remove server.ssl_* from the CherryPy file, and let a proxy on this "
            "machine terminate TLS (docs/operations.md, section Behind a proxy)."
        )
    host = server.socket_host
    if anonymous != "loopback" or server.socket_file or (host and is_loopback(host)):
        return
    raise UsageError(
        f"The server does not listen at {host or 'every address'}, because everyone who can reach that address could "
        "dispatch jobs. Listen at 127.0.0.1; or set [auth] anonymous = none in the configuration, which requires a "
        "token of every caller (pacifica-dispatcher-cmd token create); or set anonymous = anywhere, which admits "
        "everyone. The environment variable DISPATCHER_ANONYMOUS sets the same."
    )


def _listen() -> socket.socket:
    own = cherrypy.server
    if (inherited := inherited_listener(os.environ)) is not None:
        return inherited
    try:
        if own.socket_file:
            return listen_at_path(own.socket_file, own.socket_queue_size)
        return listen(own.socket_host or "", own.socket_port, own.socket_queue_size)
    except OSError as error:
        place = own.socket_file or f"{own.socket_host or '*'}:{own.socket_port}"
        raise UsageError(f"The server cannot listen at {place}: {error.strerror}.") from error


if __name__ == "__main__":
    sys.exit(main())
