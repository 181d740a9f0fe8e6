"""The service behind a real nginx: no caller becomes local, and every link works below a path prefix."""

import os
import re
from contextlib import closing
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests

from pacifica.dispatcher.client import DispatcherClient
from pacifica.dispatcher.service.tokens import Tokens
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.tokens import TokenStore

from ..eventually import eventually
from ..processes import Processes, Running, free_port
from ..services import require_program
from .contract import problem

PAGE = (Path(__file__).parent.parent.parent / "docs" / "operations.md").read_text(encoding="utf-8")
NGINX = "nginx"
RUN = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"
MAIN = """\
daemon off;
{process}
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {servers}
}}
"""
PREFIX = "/jobs"


def documented(port: int, web: Running) -> str:
    """The server block of the page, without TLS, in front of this web server."""
    block = re.search(r"^```nginx\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert block is not None
    text = re.sub(r"ssl_\w+ .*;", "", block[1]).replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    return text.replace("http://127.0.0.1:8050", _origin(web))


def stripping(port: int, web: Running) -> str:
    """A server block that removes the prefix."""
    return f"server {{ listen 127.0.0.1:{port}; location {PREFIX}/ {{ proxy_pass {_origin(web)}/; }} }}"


def plain(port: int, web: Running, version: str) -> str:
    """A server block as short as nginx allows; ``version`` is the default before 1.29.7, or since."""
    location = f"proxy_pass {_origin(web)}; proxy_http_version {version};"
    return f"server {{ listen 127.0.0.1:{port}; location / {{ {location} }} }}"


def _origin(web: Running) -> str:
    return web.url.removesuffix(PREFIX)


def start_nginx(processes: Processes, *servers: str, process: str = "master_process off;") -> None:
    """Start nginx with these server blocks."""
    program = require_program(NGINX, "/usr/sbin")
    path = processes.write_config(
        MAIN.format(process=process, folder=processes.cwd, servers="\n".join(servers)), "nginx.conf"
    )
    nginx = processes.start(NGINX, ["-c", RUN, program, "-p", str(processes.cwd), "-c", str(path)])
    port = int(re.findall(r"listen 127\.0\.0\.1:(\d+)", "".join(servers))[-1])

    def listens() -> bool:
        assert nginx.popen.poll() is None, nginx.output()
        try:
            return bool(requests.get(f"http://127.0.0.1:{port}/", timeout=5).status_code)
        except requests.ConnectionError:
            return False

    eventually(listens, 10)


@pytest.fixture
def service(processes: Processes) -> Processes:
    processes.env["BROKER_URL"] = "database://"
    return processes


def test_plain_proxy_pass_opens_nothing(service: Processes) -> None:
    web, old, new = service.start_web(), free_port(), free_port()
    assert requests.get(f"{web.url}/tasks", timeout=30).status_code == 200
    own_user = os.geteuid() == 0  # Else nginx runs as the user of the test.
    start_nginx(service, plain(old, web, "1.0"), plain(new, web, "1.1"), process="user www-data;" if own_user else "")
    for path in ("/tasks", "/dispatch/add/2/2", "/status"):
        found = problem(requests.get(f"http://127.0.0.1:{old}{path}", timeout=30), 401, "unauthorized")
        assert "it uses HTTP/1.0, as proxies do" in found["detail"]
    assert requests.get(f"http://127.0.0.1:{old}/health/live", timeout=30).status_code == 200
    answer = requests.get(f"http://127.0.0.1:{new}/dispatch/add/2/2", timeout=30)
    assert answer.status_code == (401 if own_user else 200)
    assert not own_user or "runs as the user of a proxy" in answer.json()["detail"]
    web.wait_until_it_says(r"WARNING .*A proxy or a tunnel on this machine")


def below_a_setting(service: Processes) -> Running:
    """The embedded server with the configuration of the page, but for the host."""
    ini = re.search(r"^## Behind a proxy.*?^```ini\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert ini is not None
    service.write_config(ini[1].replace("lab.example.org", "127.0.0.1"))
    return service.start_web()


def below_script_name(service: Processes) -> Running:
    """gunicorn with ``SCRIPT_NAME``."""
    service.write_config("[auth]\nanonymous = none\n")
    address = f"127.0.0.1:{free_port()}"
    own = ("-m", "gunicorn", "-c", "python:pacifica.dispatcher.gunicorn_conf", "-w", "1", "-b", address)
    web = service.start(
        "gunicorn",
        [*own, "pacifica.dispatcher.wsgi:application"],
        url=f"http://{address}{PREFIX}",
        env={"SCRIPT_NAME": PREFIX},
    )
    web.wait_until_it_serves()
    return web


@pytest.fixture(params=[below_a_setting, below_script_name])
def outside(request: pytest.FixtureRequest, service: Processes) -> list[tuple[str, str]]:
    """The addresses of the service outside the proxy, with a token."""
    web = request.param(service)
    left, removed = free_port(), free_port()
    servers = [documented(left, web)] + [stripping(removed, web)] * (request.param is below_a_setting)
    start_nginx(service, *servers)
    with closing(Database(f"sqliteext:///{service.cwd}/db.sqlite3")) as database:
        token = Tokens(TokenStore(database)).create("lab", ["admin"], lifetime=None)[0]
    ports = (left, removed) if request.param is below_a_setting else (left,)
    return [(f"http://127.0.0.1:{port}{PREFIX}", token) for port in ports]


def test_every_link_works_below_a_prefix(outside: list[tuple[str, str]]) -> None:
    for base, token in outside:
        _follow_links(base, {"Authorization": f"Bearer {token}"})
        with DispatcherClient(base, token=token) as client:
            job = client.dispatch("add", 2, 2)
            assert next(client.search(task="add")).uuid == job.uuid
            assert [event for event in client.history() if event.job == job.uuid]
    base, token = outside[0]  # nginx leaves the prefix, and so the path as it was sent.
    answer = requests.get(f"{base}/dispatch/fail/a%2Fb", headers={"Authorization": f"Bearer {token}"}, timeout=30)
    with DispatcherClient(base, token=token) as client:
        assert client.job(answer.text).status().args == ["a/b"]


def _follow_links(base: str, headers: dict[str, str]) -> None:
    def get(link: str) -> requests.Response:
        answer = requests.get(urljoin(f"{base}/", link), headers=headers, timeout=30)
        answer.raise_for_status()
        return answer

    problem(requests.get(f"{base}/tasks", timeout=30), 401, "unauthorized")
    dispatched = [get("dispatch/add/2/2") for _ in range(2)]
    assert get(dispatched[0].headers["Location"]).json()["uuid"] == dispatched[0].text
    page = get("status?limit=1")
    assert get(page.json()["next"]).json()["jobs"][0]["uuid"] == dispatched[0].text
    assert get(page.links["next"]["url"]).json()["jobs"][0]["uuid"] == dispatched[0].text
    get(get("events?limit=1").json()["next"])
    links = get("").json()["links"]
    assert get(links["tasks"]).json()["tasks"]
    document = get(links["openapi"]).json()
    assert get(f"{document['servers'][0]['url']}/tasks").json()["tasks"]
    docs = re.search('href="([^"#]+)"', get(links["docs"]).text)
    assert docs is not None
    assert get(docs[1]).json() == document
