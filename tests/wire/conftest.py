"""Both servers, with few threads and short deadlines."""

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
"""What a head may take."""
CPCONFIG = f"[global]\nserver.thread_pool = {THREADS}\nserver.socket_timeout = {SECONDS}\n"


@dataclass
class Target:
    """A server under attack."""

    web: Running

    @property
    def url(self) -> str:
        """Where it serves."""
        return self.web.url

    def serves_others(self, *paths: str) -> None:
        """It answers somebody else within a second, by default in all ways."""
        for path in paths or ("/health/live", "/dispatch/add/2/2"):
            begin = time.monotonic()
            assert requests.get(self.url + path, timeout=10).status_code == 200
            assert time.monotonic() - begin < 1, path


@pytest.fixture(scope="module", params=["embedded", "gunicorn"])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server without a Celery worker; it must come through all of the module's tests."""
    with Processes(Path(tmp_path_factory.mktemp("hostile")), {"BROKER_URL": "database://"}) as processes:
        processes.add_module(TASKS)
        processes.write_config("[dispatcher]\ntasks = lab\narguments_bytes = 20000000\n")
        if request.param == "gunicorn":
            web = processes.start_gunicorn("--threads", str(THREADS), "--keep-alive", str(SECONDS), workers=1)
        else:
            conf = processes.write_config(CPCONFIG, "server.conf")
            web = processes.start_web("--cp-config", str(conf))
        found = Target(web)
        found.serves_others()
        yield found
        found.serves_others()
        assert "Traceback" not in web.output()
        assert web.output().count("Booting worker") == (request.param == "gunicorn")
