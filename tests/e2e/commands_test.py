"""The commands run as processes: their output and exit status."""

import json
import os
import re
import signal
import subprocess
from contextlib import closing, suppress
from pathlib import Path

import pytest

from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore

from ..eventually import eventually
from ..processes import Processes, Running, free_port
from .circle_test import curl


def start_up(processes: Processes, port: int, *options: str) -> Running:
    """Start ``pacifica-dispatcher-cmd up``, without waiting; it must not send this ``DISPATCHER_TOKEN``."""
    code = "from pacifica.dispatcher.cli import main; main(prog_name='pacifica-dispatcher-cmd')"
    env = {"DISPATCHER_TOKEN": "pd_of_another_service"}
    return processes.start("up", ["-c", code, "up", "-p", str(port), *options], env=env, url=f"http://127.0.0.1:{port}")


def descendants(pid: int) -> set[int]:
    """The processes that this one has started, and those that they have started."""
    with suppress(OSError):
        path = Path(f"/proc/{pid}/task/{pid}/children")
        own = {int(child) for child in path.read_text().split()}
        return own.union(*(descendants(child) for child in own))
    return set()


def living(pids: set[int]) -> set[int]:
    """Those of the processes that have not ended."""
    found = set()
    for pid in pids:
        with suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.add(pid)
    return found


def serving(up: Running) -> list[int]:
    """The web processes of several that ``up`` runs; the process that starts them is not one of them."""
    parents = [pid for pid in descendants(up.popen.pid) if "pacifica.dispatcher" in command(pid)[2:3]]
    return [pid for parent in parents for pid in sorted(descendants(parent) & set(parents))]


def command(pid: int) -> list[str]:
    """The command line of a process, without the options of Python."""
    with suppress(OSError):
        return [word for word in Path(f"/proc/{pid}/cmdline").read_text().split("\0") if word != "-u"]
    return []


def test_up_reports_a_finished_probe_job_and_ends_on_ctrl_c(processes: Processes) -> None:
    port = free_port()
    up = start_up(processes, port)
    up.wait_until_it_says("Ctrl-C stops")
    output = up.output()
    assert f"ready at http://127.0.0.1:{port}" in output
    assert re.search(r"A probe job went .* in \d+ ms", output)
    assert "configuration  no file; the defaults and the environment apply\n" in output
    assert f"record         {processes.cwd}/db.sqlite3\n" in output
    assert "broker         the record (database://), not pyamqp:// of the configuration\n" in output
    assert "for .delay()   export BROKER_URL=database://\n" in output
    assert "tasks          only the built-in ones (add, fail, mul, sleep)." in output
    uuid = curl(f"http://127.0.0.1:{port}/dispatch/add/2/2")
    eventually(lambda: '"result": 4' in curl(f"http://127.0.0.1:{port}/status/{uuid}"))
    eventually(lambda: f"job={uuid}" in up.output())
    lines = [line for line in up.output().splitlines() if f"job={uuid}" in line]
    assert [line.partition(": ")[2].split(" ms=")[0] for line in lines] == ["job succeeded"]
    assert "access:" not in up.output()
    up.send(signal.SIGINT)
    assert up.wait(40) == 0
    assert "Traceback" not in up.output()

    processes.write_config("[server]\nprocesses = 2\n")
    again = start_up(processes, port)
    again.wait_until_it_says("Ctrl-C stops")
    assert '"result": 4' in curl(f"http://127.0.0.1:{port}/status/{uuid}")
    for _ in range(6):
        curl(f"http://127.0.0.1:{port}/dispatch/mul/2/2")
    counted = 'dispatches_total{outcome="accepted",task="mul"} 6.0'
    assert all(counted in curl(f"http://127.0.0.1:{port}/metrics") for _ in range(4))
    killed = serving(again)[0]
    os.kill(killed, signal.SIGKILL)
    again.wait_until_it_says(f"Web process {killed} ended with status -9; another one takes its place")
    eventually(lambda: len(serving(again)) == 2 and killed not in serving(again))
    eventually(lambda: all(counted in curl(f"http://127.0.0.1:{port}/metrics") for _ in range(4)))
    started = descendants(again.popen.pid)
    again.send(signal.SIGTERM)
    assert again.wait(40) == 0
    assert living(started) == set()


def test_up_leaves_no_token_and_after_a_kill_no_process(processes: Processes) -> None:
    processes.write_config("[auth]\nanonymous = none\n[server]\nprocesses = 2\n")
    port = free_port()
    up = start_up(processes, port)
    up.wait_until_it_says("Ctrl-C stops")
    assert '"status": 401' in curl(f"http://127.0.0.1:{port}/tasks")
    code = "from pacifica.dispatcher.cli import main; main()"
    assert processes.run("-c", code, "token", "list").stdout == ""
    started = descendants(up.popen.pid)
    assert len(started) >= 4
    up.send(signal.SIGKILL)
    eventually(lambda: living(started) == set(), 20, "processes were left behind")


def test_up_with_reload_uses_the_edited_module(processes: Processes) -> None:
    source = "from pacifica.dispatcher import task\n\n\n@task(queue='slow')\ndef one() -> int:\n    return 1\n"
    module = processes.cwd / "lab.py"
    module.write_text(source, encoding="utf-8")
    processes.write_config("[dispatcher]\ntasks = lab\n[celery]\nbroker_url = database://\n[server]\nprocesses = 2\n")
    port = free_port()
    up = start_up(processes, port, "--reload", "-w", "1")
    up.wait_until_it_says("Ctrl-C stops")
    assert "tasks          lab.one; and the built-in ones\n" in up.output()
    assert "for .delay()" not in up.output()
    url = f"http://127.0.0.1:{port}"
    running = curl(f"{url}/dispatch/sleep/4")
    eventually(lambda: '"STARTED"' in curl(f"{url}/status/{running}"))
    module.write_text(source.replace("return 1", "return 22"), encoding="utf-8")
    up.wait_until_it_says("lab.py has changed; server and worker start again")
    uuid = curl(f"{url}/dispatch/lab.one", "--retry", "30", "--retry-all-errors", "--retry-delay", "1")
    eventually(lambda: '"result": 22' in curl(f"{url}/status/{uuid}"))
    eventually(lambda: '"SUCCESS"' in curl(f"{url}/status/{running}"))
    assert '"attempt": 1' in curl(f"{url}/status/{running}")


def test_second_ctrl_c_puts_running_jobs_back_and_says_so(processes: Processes) -> None:
    up = start_up(processes, free_port())
    up.wait_until_it_says("Ctrl-C stops", 60)
    uuid = curl(f"{up.url}/dispatch/sleep/300")
    eventually(lambda: '"STARTED"' in curl(f"{up.url}/status/{uuid}"))
    started = descendants(up.popen.pid)
    up.send(signal.SIGINT)
    up.wait_until_it_says("Ctrl-C again puts them back")
    up.send(signal.SIGINT)
    assert up.wait(30) == 0
    assert "1 running job was put back" in up.output()
    assert "Traceback" not in up.output()
    assert living(started) == set()
    with closing(Database(f"sqliteext:///{processes.cwd}/db.sqlite3")) as database:
        job = JobStore(database).get(uuid)
        assert job is not None
        assert (job.state.value, [event.kind for event in JobStore(database).events(uuid)][-1]) == ("PENDING", "LOST")


def test_up_names_a_port_that_is_taken(processes: Processes) -> None:
    web = processes.start_web(env={"BROKER_URL": "database://"})
    port = int(web.url.rsplit(":", 1)[1])
    up = start_up(processes, port)
    assert up.wait() == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in up.output()


def test_up_shows_why_a_process_did_not_start(processes: Processes) -> None:
    processes.write_config("[dispatcher]\ntasks = no_such_module\n")
    up = start_up(processes, free_port())
    assert up.wait(40) == 1
    assert "[dispatcher] tasks = no_such_module" in up.output()


def test_server_names_every_fault_of_its_configuration(processes: Processes) -> None:
    processes.write_config("[database]\npeewee_url = oracle://x/y\n[dispatcher]\nmax_attempts = many\n")
    ran = processes.run("-m", "pacifica.dispatcher")
    assert ran.returncode == 1
    assert "peewee_url" in ran.stderr
    assert "max_attempts" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_worker_names_the_faults_of_its_configuration(processes: Processes) -> None:
    processes.write_config("[dispatcher]\nmax_attempts = many\n")
    ran = processes.run("-m", "celery", "-A", "pacifica.dispatcher.tasks", "worker")
    assert ran.returncode != 0
    assert "[dispatcher] max_attempts = many" in ran.stderr + ran.stdout


@pytest.mark.parametrize(
    "arguments", [["pacifica.dispatcher", "-p", "1"], ["celery", "-A", "pacifica.dispatcher.tasks", "worker"]]
)
def test_process_names_the_line_of_a_broken_task_module(processes: Processes, arguments: list[str]) -> None:
    (processes.cwd / "lab.py").write_text("\nx = nope\n", encoding="utf-8")
    processes.write_config("[dispatcher]\ntasks = lab\n[celery]\nbroker_url = database://\n")
    ran = processes.run("-m", *arguments)
    assert ran.returncode == 1
    sentence = "[dispatcher] tasks = lab: lab.py:2: NameError: name 'nope' is not defined. Correct the module and start"
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr + ran.stdout
    assert not (processes.cwd / "db.sqlite3").exists()


def test_unusable_annotation_costs_only_its_own_task(processes: Processes) -> None:
    source = (
        "from pacifica.dispatcher import task\n\n\n@task\ndef bad(frame: 'Frame') -> int: ...\n\n\n"
        "@task\ndef good(x: int) -> int: ...\n"
    )
    (processes.cwd / "lab.py").write_text(source, encoding="utf-8")
    processes.write_config("[dispatcher]\ntasks = lab\n[celery]\nbroker_url = database://\n")
    web = processes.start_web()
    assert re.search(r"WARNING app: lab.py:4: task lab.bad cannot be dispatched: .* argument frame ", web.output())
    assert len(curl(f"{web.url}/dispatch/lab.good/1")) == 36
    problem = json.loads(curl(f"{web.url}/dispatch/lab.bad/1"))
    assert (problem["status"], problem["type"].rpartition(":")[2]) == (404, "unusable-task")
    assert "lab.py" not in problem["detail"]
    assert "lab.bad" not in curl(f"{web.url}/tasks")


def test_server_gives_up_on_an_unreachable_database(processes: Processes) -> None:
    processes.write_config(
        "[database]\npeewee_url = postgresql://postgres@127.0.0.1:1/none\nconnect_attempts = 2\nconnect_wait = 0.1\n"
    )
    ran = processes.run("-m", "pacifica.dispatcher", "-p", str(free_port()))
    assert ran.returncode == 1
    assert "cannot be reached" in ran.stderr
    assert "Attempt 1 of 2" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_command_line_wins_over_the_cherrypy_file(processes: Processes) -> None:
    port = free_port()
    processes.write_config(
        f"[global]\nserver.socket_port = {port}\nserver.thread_pool = 3\n[/]\nresponse.headers.X-Lab = 'seven'\n",
        "server.conf",
    )
    web = processes.start_web("--cp-config", "server.conf", env={"BROKER_URL": "database://"})
    assert not web.url.endswith(f":{port}")
    shown = subprocess.run(["curl", "-si", f"{web.url}/health/live"], capture_output=True, encoding="utf-8", check=True)
    assert "X-Lab: seven" in shown.stdout


def test_missing_cherrypy_file_is_named(processes: Processes) -> None:
    ran = processes.run("-m", "pacifica.dispatcher", "--cp-config", "nowhere.conf")
    assert ran.returncode == 1
    assert "nowhere.conf cannot be read" in ran.stderr


def test_missing_configuration_file_is_named(processes: Processes) -> None:
    ran = processes.run("-m", "pacifica.dispatcher", "-c", "nowhere.ini")
    assert ran.returncode == 1
    assert "nowhere.ini" in ran.stderr


def test_server_that_gets_sigterm_while_it_starts_ends_cleanly(processes: Processes) -> None:
    web = processes.start(
        "web", ["-m", "pacifica.dispatcher", "-p", str(free_port())], env={"BROKER_URL": "database://"}
    )
    web.wait_until_it_says("Bus STARTING")
    web.send(signal.SIGTERM)
    web.send(signal.SIGTERM)
    assert web.wait() == 0
    assert web.output().count("Bus EXITED") == 1
