"""What is asked of a service whose table is large, or small, to see that each request costs the same there."""

import base64
import json
import random
import time
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from . import many
from .filling import Filling, put_lost
from .load import dispatch_for
from .processes import Command
from .requesting import Client, Request
from .statistics import percentile
from .systems.ours import Parts
from .systems.system import OURS, ROOT

LOST = 100
"""Jobs of a dead worker."""
LEASE = 0.3
PAGE = 20
PAGES = 60
SEARCHES: Mapping[str, str] = {
    "state_task": f"/status?state=SUCCESS&task=add&limit={PAGE}",
    "rare": f"/status?state=FAILURE&task=sleep&limit={PAGE}",
    "label": f"/status?label=batch:7&limit={PAGE}",
}
"""For each there are more jobs in the smallest table than two pages hold."""


def upkeep(one: Parts, now: int) -> Mapping[str, float]:
    """Milliseconds of one round; no other process of the service may run."""
    put_lost(one.store, LOST, now)
    held = "SELECT count(*) FROM job WHERE state = 'STARTED'"
    assert one.store.number(held) == LOST, "somebody else has looked after the lost jobs"
    env = {"PYTHONPATH": str(ROOT.parent)}
    one.live.processes.run(Command("upkeep", [OURS / "python", "-m", "bench.upkeep", str(LEASE)], env))
    told: Mapping[str, float] = json.loads((one.place.folder / "upkeep.log").read_text("utf-8").splitlines()[-1])
    left = one.store.number(held)
    assert not left, f"{left} of {LOST} lost jobs were not put back"
    return told


def dispatched(one: Parts, seconds: float, connections: int) -> Mapping[str, float]:
    """Dispatches per second while the workers work, and what was done."""
    flow = dispatch_for(one.live, seconds, connections)
    return {"dispatch": flow.dispatch, "done": flow.done}


def statuses(one: Parts, filling: Filling, seconds: float, connections: int) -> Mapping[str, float]:
    """Per second, of jobs from the newer half of the table in no order."""
    uuids = list(filling.sample)
    random.Random(3).shuffle(uuids)
    paths = [f"/status/{uuid}" for uuid in uuids]
    return {"status": many.rate(one.place.url, paths, seconds, one.place.folder, connections)}


def searches(one: Parts, filling: Filling) -> Mapping[str, float]:
    """The median milliseconds of the first page of each search, and of one that begins in the middle of the table."""
    found = {}
    with Client(one.place.url) as client:
        for name, path in SEARCHES.items():
            found[name] = _page(client, path)
            following = json.loads(client.ask(Request(path)).body)["next"]
            found[f"{name}_deep"] = _page(client, _from(following, filling.middle))
    return found


def purge(one: Parts, seconds: float, connections: int) -> Mapping[str, float]:
    """Dispatches per second before a purge and during one, and how many jobs that purged per second."""
    before = dispatch_for(one.live, seconds, connections)
    tombs = "SELECT count(*) FROM tombstone"
    command = [OURS / "pacifica-dispatcher-cmd", "purge", "--older-than", "1d", "--state", "success"]
    process = one.live.processes.start(Command("purge", command))
    at_first = one.store.number(tombs)
    one.wait(lambda: one.store.number(tombs) > at_first, "nothing was purged")
    gone, begun = one.store.number(tombs), time.monotonic()
    during = dispatch_for(one.live, seconds, connections)
    purged = (one.store.number(tombs) - gone) / (time.monotonic() - begun)
    if process.popen.poll() == 0:
        one.live.processes.processes.remove(process)
        raise AssertionError("the purge was over before the dispatches were; the table is too small for this")
    one.stop(process)
    return {
        "before": before.dispatch,
        "during": during.dispatch,
        "before_done": before.done,
        "during_done": during.done,
        "purged": purged,
    }


def _page(client: Client, path: str) -> float:
    taken = []
    request = Request(path)
    for _ in range(PAGES):
        begun = time.perf_counter()
        answer = client.ask(request)
        taken.append((time.perf_counter() - begun) * 1e3)
    jobs = len(json.loads(answer.body)["jobs"])
    assert jobs == PAGE, f"{path} shows {jobs} jobs and not {PAGE}"
    return percentile(taken, 50)


def _from(following: str, middle: tuple[int, str]) -> str:
    """The path of the next page, with another place in its cursor."""
    (cursor,) = parse_qs(urlsplit(following).query)["cursor"]
    mark = json.loads(base64.urlsafe_b64decode(cursor))[0]
    other = base64.urlsafe_b64encode(json.dumps([mark, *middle]).encode()).decode()
    return following.replace(cursor, other).replace(cursor.replace("=", "%3D"), other)
