"""Servers that a test starts on a free port, and may stop, kill and suspend.

Each keeps its data in its own directory below the system's temporary one: a short path, which the name of a Unix
socket needs, and one that an unprivileged user can reach, as PostgreSQL refuses to run as root.
A server is stopped by its process id; the servers on the standard ports are not touched.
If a program is missing, its tests are skipped; with ``CI=true`` they fail.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

from ..eventually import eventually
from ..processes import SETTINGS, WITH_PARENT, free_port
from ..services import MYSQL, POSTGRESQL, RABBITMQ, REDIS, SERVERS

UP = 90.0
"""Seconds in which a server must answer; RabbitMQ takes five on an idle machine."""
DOWN = 60.0
FOLDERS = ("/usr/lib/rabbitmq/bin", "/usr/sbin", "/usr/local/sbin")
"""Folders of Debian with programs that are not in every user's path."""


@dataclass
class Server:
    """A server: ``kind`` as in ``services``, ``url`` for Celery or PeeWee; ``command`` stays in the foreground."""

    kind: str
    url: str
    command: Sequence[str]
    directory: Path
    env: Mapping[str, str] = field(default_factory=dict)
    end: signal.Signals = signal.SIGTERM
    popen: "subprocess.Popen[bytes] | None" = None

    @property
    def log(self) -> Path:
        """The file with its output."""
        return self.directory / "output.log"

    def launch(self) -> None:
        """Start it, without waiting."""
        assert self.popen is None, f"{self.kind} runs already"
        self.popen = _spawn(self.command, self.log, self.env)

    def start(self) -> None:
        """Start it, and wait until it answers; after a kill it may need several attempts."""
        eventually(self._is_up, UP, f"{self.kind} did not answer")

    def stop(self) -> None:
        """Stop it, and wait for its end."""
        if self.popen is not None:
            self.popen.send_signal(self.end)
            self.popen.wait(DOWN)
            self._kill_group()

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()
            self._kill_group()

    def suspend(self) -> None:
        """Freeze it and its children with SIGSTOP: the kernel accepts connections, and it never answers."""
        self._send_to_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue it after ``suspend``."""
        self._send_to_all(signal.SIGCONT)

    def answers(self) -> bool:
        """Return whether it answers a handshake."""
        with suppress(Exception):
            SERVERS[self.kind].handshake(self.url)
            return True
        return False

    def run(self, *command: str) -> str:
        """Run a program of the server in its environment, and return the output."""
        ran = subprocess.run(
            [_find(command[0]), *command[1:]],
            env=_environment(self.env),
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def _send_to_all(self, number: signal.Signals) -> None:
        """Signal the server first, so that it starts no child; PostgreSQL's children lead their own groups."""
        assert self.popen is not None
        self.popen.send_signal(number)
        for task in Path(f"/proc/{self.popen.pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(child), number)

    def _is_up(self) -> bool:
        if self.popen is None:
            self.launch()
        elif self.popen.poll() is not None:
            self._kill_group()
            raise AssertionError(f"{self.kind} ended; its output:\n{self.log.read_text(errors='replace')[-3000:]}")
        return self.answers()

    def _kill_group(self) -> None:
        """Kill the rest of its process group, such as Erlang's helpers."""
        assert self.popen is not None
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen = None


@contextmanager
def rabbitmq() -> Iterator[Server]:
    """A running RabbitMQ node with its own name server."""
    node, epmd = _need("RabbitMQ", "rabbitmq-server", "epmd")
    with _directory() as home, ExitStack() as last:
        port, names, distribution = free_port(), free_port(), free_port()
        for name, text in (
            ("rabbitmq.conf", f"listeners.tcp.local = 127.0.0.1:{port}\ndisk_free_limit.absolute = 1MB\n"),
            ("env.conf", ""),
            ("plugins", "[]."),
            (".erlang.cookie", "dispatcher"),
        ):
            (home / name).write_text(text)
        (home / ".erlang.cookie").chmod(0o400)
        env = {
            "HOME": str(home),
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"faults{port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_CONF_ENV_FILE": str(home / "env.conf"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
            "RUNNING_UNDER_SYSTEMD": "1",  # The script then becomes the node instead of watching it.
        }
        name_server = _spawn([epmd, "-port", str(names), "-address", "127.0.0.1"], home / "epmd.log", env)
        last.callback(name_server.wait)
        last.callback(name_server.kill)
        yield from _running(Server(RABBITMQ, f"pyamqp://guest:guest@127.0.0.1:{port}//", [node], home, env))


@contextmanager
def redis(*, durable: bool = False) -> Iterator[Server]:
    """A running Redis server, which keeps nothing on disk, or all that it has confirmed."""
    (program,) = _need("Redis", "redis-server")
    with _directory() as home:
        port = free_port()
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(home)]
        command += ["--appendonly", "yes"] if durable else []
        yield from _running(Server(REDIS, f"redis://127.0.0.1:{port}/0", command, home))


@contextmanager
def postgresql(*, running: bool = True) -> Iterator[Server]:
    """A PostgreSQL cluster whose database ``postgres`` is empty."""
    initdb, program = _need("PostgreSQL", "initdb", "postgres", below=_postgresql_places())
    with _directory() as home:
        port, data = free_port(), home / "data"
        user: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(home, "postgres", "postgres")
            user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
        _prepare(
            [*user, initdb, "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync", "--locale=C.UTF-8"], home
        )
        settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": home}
        command = [*user, program, "-D", str(data), *(f"--{key}={value}" for key, value in settings.items())]
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        # SIGTERM would wait until every client has disconnected.
        yield from _running(Server(POSTGRESQL, url, command, home, end=signal.SIGINT), running=running)


@contextmanager
def mariadb(*, running: bool = True) -> Iterator[Server]:
    """A MariaDB server whose database ``dispatcher`` is empty."""
    install, program = _need("MariaDB", "mariadb-install-db", "mariadbd")
    with _directory() as home:
        port, data = free_port(), home / "data"
        user = ["--user=root"] if os.geteuid() == 0 else []
        # A MariaDB that starts deletes each `#sql-…` in its tmpdir: in a shared one, the tables of the other servers.
        own = ["--no-defaults", f"--datadir={data}", f"--tmpdir={home}", *user]
        _prepare([install, *own, "--auth-root-authentication-method=normal", "--skip-test-db"], home)
        (data / "dispatcher").mkdir()  # A database is a directory.
        places = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={home}/socket", f"--pid-file={home}/pid"]
        small = ["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M", "--skip-log-bin"]
        url = f"mysql://root@127.0.0.1:{port}/dispatcher"
        yield from _running(Server(MYSQL, url, [program, *own, *places, *small], home), running=running)


def _running(server: Server, *, running: bool = True) -> Iterator[Server]:
    """Start the server unless ``running`` is false, and kill it in the end."""
    try:
        if running:
            server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def _directory() -> Iterator[Path]:
    # Children of a killed server may still write for a moment.
    with tempfile.TemporaryDirectory(prefix="dispatcher-", ignore_cleanup_errors=True) as path:
        yield Path(path)


def _need(name: str, *programs: str, below: Sequence[str] = ()) -> list[str]:
    """Return the paths of these programs; if one is missing, the test is skipped, and fails in CI."""
    found = [shutil.which(program, path=_path(below)) for program in programs]
    if None in found:
        cannot_be_tested(f"no program {programs[found.index(None)]}: {name} is not installed on this machine")
    return [path for path in found if path is not None]


def cannot_be_tested(reason: str) -> NoReturn:
    """Skip a test that this machine cannot run; fail it in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (CI=true: nothing may be skipped)", pytrace=False)
    pytest.skip(reason)


def _find(program: str) -> str:
    return shutil.which(program, path=_path()) or program


def _path(below: Sequence[str] = ()) -> str:
    # Debian's wrappers in /usr/sbin change the user and the environment, so the scripts themselves come first.
    return os.pathsep.join([*below, FOLDERS[0], os.environ.get("PATH", ""), *FOLDERS[1:]])


def _postgresql_places() -> list[str]:
    """Return the folders with the programs of each installed version, the newest first."""
    return [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]


def _prepare(command: Sequence[str], home: Path) -> None:
    ran = subprocess.run(command, cwd=home, capture_output=True, encoding="utf-8", timeout=UP, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _spawn(command: Sequence[str], log: Path, env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    # One setpriv for both, as a change of the user resets the signal that the death of the parent sends.
    inner = list(command)
    if WITH_PARENT and inner[0] == "setpriv":
        inner = [*WITH_PARENT[:-1], *inner[1:]]
    elif WITH_PARENT:
        inner = [*WITH_PARENT, *inner]
    with log.open("ab") as output:
        return subprocess.Popen(
            inner,
            cwd=log.parent,
            env=_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    outside = {name: value for name, value in os.environ.items() if not SETTINGS.match(name) and "RABBITMQ" not in name}
    return outside | dict(env)
