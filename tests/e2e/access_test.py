"""Authorization as a table of every route and every scope, and the effect of scopes on search, batch and retry."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import requests

from pacifica.dispatcher.core.job import iso, now

from .contract import problem
from .secured_stack import SecuredStack

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
TABLE = """
                     read  all  see   dispatch  batch  retry  cancel  known
none                 u     u    uuuu  uu        u      uuuu   uuuu    u
invalid              u     u    uuuu  uu        u      uuuu   uuuu    u
expired              u     u    uuuu  uu        u      uuuu   uuuu    u
read                 i     i    iiii  ff        f      ffff   ffff    i
dispatch             f     f    ffff  ii        i      iiii   ffff    i
cancel               f     f    ffff  ff        f      ffff   iiii    i
admin                i     i    iiii  ii        i      iiii   iiii    i
read:lab.*           i     f    nini  ff        f      ffff   ffff    i
dispatch:lab.*       f     f    ffff  fi        i      nini   ffff    i
cancel:lab.*         f     f    ffff  ff        f      ffff   nini    i
admin:lab.*          i     f    nini  fi        i      nini   nini    i
read,own             i     f    nnii  ff        f      ffff   ffff    i
dispatch,own         f     f    ffff  ii        i      nnii   ffff    i
cancel,own           f     f    ffff  ff        f      ffff   nnii    i
admin,own            i     f    nnii  ii        i      nnii   nnii    i
read:lab.*,own       i     f    nnni  ff        f      ffff   ffff    i
dispatch:lab.*,own   f     f    ffff  fi        i      nnni   ffff    i
cancel:lab.*,own     f     f    ffff  ff        f      ffff   nnni    i
"""
"""The answer to each caller: i (admitted), u (401, unknown), f (403, forbidden), n (404, hidden).

Two letters stand for the tasks add and lab.greet; four for jobs of these tasks, first of another caller, then own.
"""
ROUTES: Mapping[tuple[str, str], str] = {
    ("GET", "/"): "read",
    ("GET", "/tasks"): "read",
    ("GET", "/tasks/{name}"): "read",
    ("GET", "/openapi.json"): "read",
    ("GET", "/docs"): "read",
    ("GET", "/status"): "read",
    ("GET", "/events"): "read",
    ("GET", "/status/{uuid}"): "see",
    ("GET", "/status/{uuid}/events"): "see",
    ("GET", "/result/{uuid}"): "see",
    ("GET", "/dispatch/{task}"): "dispatch",
    ("HEAD", "/dispatch/{task}"): "dispatch",
    ("GET", "/dispatch/{task}/{arguments}"): "dispatch",
    ("HEAD", "/dispatch/{task}/{arguments}"): "dispatch",
    ("POST", "/dispatch/{task}"): "dispatch",
    ("POST", "/dispatch"): "batch",
    ("POST", "/status/{uuid}/retry"): "retry",
    ("DELETE", "/status/{uuid}"): "cancel",
    ("GET", "/health/live"): "open",
    ("GET", "/health/ready"): "open",
    ("GET", "/metrics"): "all",
}
"""The column of each route; HEAD uses the column of GET unless it has one."""
SIGNS = {"i": "in", "u": 401, "f": 403, "n": 404}
TASKS = ("add", "lab.greet")
BODIES: Mapping[str, Any] = {
    "/dispatch/add": {"args": [1, 2]},
    "/dispatch/lab.greet": {"args": ["Ada"]},
    "/dispatch": [{"task": "add", "args": [1, 2]}, {"task": "lab.greet", "args": ["Ada"]}],
}


def situations() -> dict[str, dict[str, str]]:
    """The table by situation and column."""
    head, *lines = TABLE.strip("\n").split("\n")
    rows = [line.split() for line in lines]
    return {name: dict(zip(head.split(), cells, strict=True)) for name, *cells in rows}


def token_of(secured: SecuredStack, situation: str) -> str | None:
    """A token for the situation, named after it."""
    if situation in {"none", "invalid"}:
        return None if situation == "none" else "pd_" + "x" * 43
    scope, _, own = situation.partition(",")
    if situation == "expired":
        return secured.token(situation, "admin", lifetime=0.000001)
    return secured.token(name_of(situation), scope, own=bool(own))


def name_of(situation: str) -> str:
    """A valid token name for the situation."""
    return "".join(sign if sign.isalnum() else "-" for sign in situation)


def targets(secured: SecuredStack, path: str, caller: str) -> list[str]:
    """The paths to request: with a new job of each owner and task, with each task, or unchanged."""
    if "{uuid}" in path:
        made = [secured.job(task, owner) for owner in ("token:another", caller) for task in TASKS]
        return [path.replace("{uuid}", uuid) for uuid in made]
    if "{task}" in path:
        return [path.replace("{task}", task).replace("{arguments}", "1") for task in TASKS]
    return [path.replace("{name}", "add")]


@pytest.fixture(scope="module")
def routes(secured: SecuredStack) -> Mapping[str, set[str]]:
    """The methods of each path of the OpenAPI document, without the paths of single tasks."""
    paths = secured.ask("GET", "/openapi.json", secured.token("reader", "read")).json()["paths"]
    tasks = {path for path in paths if path.startswith("/dispatch/") and "{" not in path}
    return {path: {method.upper() for method in item} for path, item in paths.items() if path not in tasks}


def test_table_covers_exactly_the_routes_of_the_document(routes: Mapping[str, set[str]]) -> None:
    assert {(method, path) for path, methods in routes.items() for method in methods} == set(ROUTES)


def expected_answer(method: str, path: str, cells: Mapping[str, str], number: int) -> int | str:
    """The answer in the table for the route and the number of the target."""
    column = ROUTES.get((method, path)) or (ROUTES.get(("GET", path)) if method == "HEAD" else None)
    signs = "i" if column == "open" else cells[column or "known"]
    found = SIGNS[signs if len(signs) == 1 else signs[number]]
    return 405 if column is None and method != "OPTIONS" and found == "in" else found


@pytest.mark.parametrize("situation", situations())
def test_each_route_admits_exactly_the_callers_of_the_table(
    secured: SecuredStack, routes: Mapping[str, set[str]], situation: str
) -> None:
    cells, token, caller = situations()[situation], token_of(secured, situation), f"token:{name_of(situation)}"
    expected, seen = {}, {}
    with requests.Session() as session:
        session.headers.update({"Authorization": f"Bearer {token}"} if token else {})
        for path, method in ((path, method) for path in routes for method in METHODS):
            for number, target in enumerate(targets(secured, path, caller)):
                answer = session.request(method, secured.stack.url + target, json=BODIES.get(target), timeout=30)
                expected[method, path, number] = expected_answer(method, path, cells, number)
                refused = answer.status_code in {401, 403, 404, 405}
                seen[method, path, number] = answer.status_code if refused else "in"
    assert seen == expected


@pytest.mark.parametrize(
    ("scopes", "own", "covered"),
    [
        (["read:lab.*"], False, [("lab.greet", "token:another"), ("lab.greet", "token:me")]),
        (["read:l[!b]b.gree?", "cancel"], False, [("lab.greet", "token:another"), ("lab.greet", "token:me")]),
        (["read"], True, [("add", "token:me"), ("lab.greet", "token:me")]),
        (["read:add", "dispatch"], True, [("add", "token:me")]),
        (["read:other"], False, []),
    ],
)
def test_search_returns_full_pages_of_readable_jobs(
    secured: SecuredStack, scopes: list[str], own: bool, covered: list[tuple[str, str]]
) -> None:
    token, at, label = secured.token("me", *scopes, own=own), now(), name_of("".join(scopes) + str(own))
    pairs = [(task, caller) for _ in range(3) for caller in ("token:another", "token:me") for task in TASKS]
    made = [(pair, secured.job(*pair, created=at + number, labels={"run": label})) for number, pair in enumerate(pairs)]
    for query in (f"label=run:{label}", f"since={iso(at)}"):
        path, sizes, seen = f"/status?{query}&limit=2", [], []
        while path:
            page = secured.ask("GET", path, token).json()
            sizes.append(len(page["jobs"]))
            seen += [job["uuid"] for job in page["jobs"]]
            path = page["next"]
        assert seen == [uuid for pair, uuid in reversed(made) if pair in covered]
        assert set(sizes[:-1]) <= {2}


def test_search_for_hidden_jobs_finds_nothing(secured: SecuredStack) -> None:
    secured.job("add", "token:another")
    for query in ("task=add", "caller=token:another"):
        page = secured.ask("GET", f"/status?{query}", secured.token("me", "read:lab.*", own=True)).json()
        assert page == {"jobs": [], "next": None}


@pytest.mark.parametrize("form", ["array", "lines"])
def test_batch_is_checked_item_by_item(secured: SecuredStack, form: str) -> None:
    token = secured.token("batcher", "dispatch:lab.*", "read")
    items = [{"task": "lab.greet", "args": ["Ada"]}, {"task": "add", "args": [1, 1]}, {"task": "nothing"}]

    def send(batch: list[Any]) -> requests.Response:
        if form == "array":
            return secured.ask("POST", "/dispatch", token, json=batch)
        body = "\n".join(json.dumps(item) for item in batch)
        return secured.ask("POST", "/dispatch", token, data=body, headers={"Content-Type": "application/x-ndjson"})

    answer = send(items)
    assert answer.status_code == 202
    taken, *refused = answer.json()["jobs"]
    assert secured.ask("GET", f"/status/{taken['uuid']}", token).json()["caller"] == "token:batcher"
    assert [(entry["problem"]["status"], entry["problem"]["scope"]) for entry in refused] == [
        (403, "dispatch:add"),
        (403, "dispatch:nothing"),
    ]
    found = problem(send(items[1:]), 422, "nothing-valid")
    assert [entry["problem"]["status"] for entry in found["jobs"]] == [403, 403]


def test_retry_belongs_to_its_caller(secured: SecuredStack) -> None:
    ann, boss = secured.token("ann", "admin", own=True), secured.token("boss", "admin")
    old = secured.ask("POST", "/dispatch/add", ann, json={"args": [1, 2]}).json()
    new = secured.ask("POST", f"/status/{old['uuid']}/retry", boss).json()
    assert (new["caller"], new["replay_of"]) == ("token:boss", old["uuid"])
    problem(secured.ask("GET", f"/status/{new['uuid']}", ann), 404, "unknown-job")
    assert secured.ask("POST", f"/status/{new['uuid']}/retry", ann).status_code == 404


def test_key_of_a_retry_belongs_to_its_caller_and_that_job(secured: SecuredStack) -> None:
    ann, boss = secured.token("ann", "dispatch"), secured.token("boss", "dispatch")
    keyed = {"headers": {"Idempotency-Key": "retry-1"}}
    one, two = (secured.job("add", "token:ann") for _ in range(2))
    first = secured.ask("POST", f"/status/{one}/retry", ann, **keyed).json()
    assert secured.ask("POST", f"/status/{one}/retry", ann, **keyed).json()["uuid"] == first["uuid"]
    assert secured.ask("POST", f"/status/{one}/retry", boss, **keyed).json()["uuid"] != first["uuid"]
    problem(secured.ask("POST", f"/status/{two}/retry", ann, **keyed), 422, "key-reused")
    problem(secured.ask("POST", "/dispatch/add", ann, json={"args": [1, 2]}, **keyed), 422, "key-reused")


def test_cancel_and_retry_without_read_hide_the_content(secured: SecuredStack) -> None:
    one, two = (secured.job("lab.greet", "token:another", labels={"of": "another"}) for _ in range(2))
    for method, path, scope in (("POST", f"/status/{one}/retry", "dispatch"), ("DELETE", f"/status/{two}", "cancel")):
        blind, seeing = secured.token("blind", scope), secured.token("seeing", scope, "read")
        answer = secured.ask(method, path, blind)
        shown = answer.json()
        assert (answer.ok, shown["args"], shown["kwargs"], shown["error"], shown["labels"]) == (
            True,
            None,
            None,
            None,
            {},
        )
        assert "Ada" not in answer.text
        if method == "POST":
            assert secured.ask(method, path, seeing).json()["args"] == ["Ada"]
