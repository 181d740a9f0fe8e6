"""The commands as a user runs them: in an empty directory, or against a running service."""

import subprocess
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner

from pacifica.dispatcher.cli import main
from pacifica.dispatcher.client import DispatcherClient

from ..client.conftest import running_stack
from ..client.stub import Stub, stubbed
from ..e2e.stack import Stack
from ..processes import Processes

CODE = "from pacifica.dispatcher.cli import main; main(prog_name='pacifica-dispatcher-cmd')"
"""The code of the installed program."""
Ran = subprocess.CompletedProcess[str]
Run = Callable[..., Ran]


@pytest.fixture
def run(processes: Processes) -> Run:
    """Runs a command as a process, in a working directory of this test alone."""

    def run(*arguments: str, env: dict[str, str] | None = None) -> Ran:
        return processes.run("-c", CODE, *arguments, env=env)

    return run


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Web server and worker that all tests of the commands share."""
    with running_stack(tmp_path_factory) as stack:
        yield stack


@pytest.fixture
def client(stack: Stack) -> Iterator[DispatcherClient]:
    """A client of the stack."""
    with DispatcherClient(stack.url) as client:
        yield client


@pytest.fixture
def run_process(stack: Stack) -> Run:
    """Runs a command against the stack as a process."""

    def run(*arguments: str, env: dict[str, str] | None = None) -> Ran:
        return stack.processes.run("-c", CODE, *arguments, env={"DISPATCHER_URL": stack.url, **(env or {})})

    return run


@pytest.fixture
def invoke(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command against the stack in this process, which is faster, for variants of what a process has shown."""
    monkeypatch.chdir(stack.processes.cwd)

    def run(*arguments: str, env: dict[str, str] | None = None) -> Ran:
        ran = CliRunner().invoke(main, arguments, env={"DISPATCHER_URL": stack.url, **(env or {})})
        return Ran(arguments, ran.exit_code, ran.stdout, ran.stderr)

    return run


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    """A service with scripted answers."""
    with stubbed() as stub:
        yield stub


@pytest.fixture
def invoke_on_stub(stub: Stub) -> Run:
    """Runs a command against the stub in this process."""

    def run(*arguments: str) -> Ran:
        ran = CliRunner().invoke(main, [*arguments, "--url", stub.url])
        return Ran(arguments, ran.exit_code, ran.stdout, ran.stderr)

    return run
