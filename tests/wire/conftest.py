"""Our server in one process and in two, with few threads and short deadlines."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from ..e2e.stack import TASKS
from ..processes import Processes, Running

THREADS = 4
SECONDS = 1
"""The time limit for the head of a request."""
CPCONFIG = f"[global]\nserver.thread_pool = {THREADS}\nserver.socket_timeout = {SECONDS}\n"


@dataclass
class HttpServer:
    """A server that hostile clients attack."""

    web: Running

    @property
    def url(self) -> str:
        return self.web.url

    def assert_serves_others(self, *paths: str) -> None:
        """Another client is answered within a second, by default on a brief and on a dispatching route."""
        for path in paths or ("/health/live", "/dispatch/add/2/2"):
            begin = time.monotonic()
            assert requests.get(self.url + path, timeout=10).status_code == 200
            assert time.monotonic() - begin < 1, path


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two processes"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """A server without a Celery worker, which must survive all tests of a module."""
    with Processes(Path(tmp_path_factory.mktemp("hostile")), {"BROKER_URL": "database://"}) as processes:
        processes.add_module(TASKS)
        own = f"[dispatcher]\ntasks = lab\narguments_bytes = 20000000\n[server]\nprocesses = {request.param}\n"
        processes.write_config(own)
        conf = processes.write_config(CPCONFIG, "server.conf")
        web = processes.start_web("--cp-config", str(conf))
        found = HttpServer(web)
        found.assert_serves_others()
        yield found
        found.assert_serves_others()
        assert "Traceback" not in web.output()
        assert "takes its place" not in web.output()
