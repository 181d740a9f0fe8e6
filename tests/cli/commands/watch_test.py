"""``watch`` and ``events --follow``: changes as they happen."""

import json
import re
import signal
import threading

from click.testing import CliRunner

from pacifica.dispatcher.cli import main
from pacifica.dispatcher.cli.commands.watch import listen
from pacifica.dispatcher.client import DispatcherClient

from ...client.stub import stubbed
from ...e2e.stack import Stack
from ...eventually import eventually
from ..conftest import CODE, Run
from ..jobs import FAILED, failed
from ..outcome import output_of, terminal_output


def test_watch_prints_each_change_until_all_jobs_have_ended(run_process: Run, invoke: Run, stack: Stack) -> None:
    uuids = [stack.dispatch("sleep", 0.5), stack.dispatch("add", 1, 1)]
    lines = output_of(run_process("watch", *uuids)).splitlines()
    assert f"{uuids[0]}  sleep  SUCCESS  0.5" in lines
    assert f"{uuids[1]}  add  SUCCESS  2" in lines
    failing = stack.dispatch("fail")
    ran = invoke("watch", failing, "--json")
    assert (ran.returncode, json.loads(ran.stdout.splitlines()[-1])["state"]) == (1, "FAILURE")


def test_terminal_shows_a_table_with_whole_uuids(stack: Stack) -> None:
    uuid = stack.dispatch("add", 20, 22)
    assert re.search(rf"{uuid} +add +SUCCESS +\d+s .* 42 *\r\n", terminal_output(stack, "watch", uuid))


def test_watch_and_events_follow_until_ctrl_c(stack: Stack) -> None:
    env = {"DISPATCHER_URL": stack.url}
    begin = stack.get(f"/status/{stack.dispatch('add', 1, 1)}/events").json()["events"][0]["id"]
    following = ["-c", CODE, "events", "--follow", "--after", str(begin), "--json"]
    events = stack.processes.start("events", following, env=env)
    searches = stack.web.output().count("GET /status 200")
    watch = stack.processes.start("watch", ["-c", CODE, "watch", "--label", "run=watched"], env=env)
    eventually(lambda: stack.web.output().count("GET /status 200") > searches)
    uuid = stack.dispatch("add", 1, 1, options={"labels": {"run": "watched"}})
    watch.wait_until_it_says(rf"{uuid}  add  SUCCESS  2")
    events.wait_until_it_says(rf'"job": "{uuid}", "at": "[^"]+", "kind": "SUCCESS"')
    for running, code in ((watch, 0), (events, 130)):
        running.send(signal.SIGINT)
        assert running.wait() == code
        assert "Traceback" not in running.output()


def test_watch_counts_a_repeated_uuid_once_and_refuses_filters_with_uuids() -> None:
    with stubbed([failed]) as stub:  # Its own: the thread of ``watch`` may request events after the command's end.
        ran = CliRunner().invoke(main, ["watch", FAILED, FAILED, "--url", stub.url])
        assert (ran.stderr, ran.exit_code) == ("Error: 1 of 1 jobs did not succeed.\n", 1)
        ran = CliRunner().invoke(main, ["watch", FAILED, "--task", "add", "--url", stub.url])
    assert "Give either UUIDs or options that select jobs, not both." in ran.stderr
    assert ran.exit_code == 2


def test_listener_notices_events(client: DispatcherClient) -> None:
    arrived = threading.Event()
    threading.Thread(target=listen, args=(client, arrived), daemon=True).start()

    def noticed() -> bool:
        client.dispatch("add", 1, 1)
        return arrived.is_set()

    eventually(noticed)
