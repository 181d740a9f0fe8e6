"""Arguments through the whole API: their digits, their faults, and validators that fail."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from decimal import Decimal
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel

from pacifica.dispatcher import rest
from pacifica.dispatcher.cli.batch_file import Defaults, ndjson
from pacifica.dispatcher.cli.dispatch_arguments import positional
from pacifica.dispatcher.client.serialization import to_json
from pacifica.dispatcher.config.settings import AuthSettings, DispatcherSettings
from pacifica.dispatcher.core import strict_json
from pacifica.dispatcher.core.registry import Registry, TaskSpec
from pacifica.dispatcher.service.new_job import JobFactory
from pacifica.dispatcher.service.tokens import Tokens
from pacifica.dispatcher.service.verbs import Service
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.tokens import TokenStore

from ..store.conftest import a_waiting
from .wsgi import respond

DIGITS = "0.1234567890123456789012345"


class Step(BaseModel):
    amount: Decimal


class Recipe(BaseModel):
    steps: list[Step]


def lookup(value: str) -> str:
    return {"a": "b"}[value]


def pay(amount: Decimal, weight: float = 0.0) -> None: ...
def cook(recipe: Recipe) -> None: ...
def find(key: Annotated[str, AfterValidator(lookup)]) -> None: ...


SPECS = [TaskSpec(function.__name__, function) for function in (pay, cook, find)]


class Api:
    """The API with three tasks, for every caller."""

    def __init__(self, database: Database) -> None:
        self.jobs = JobStore(database)
        counts = SimpleNamespace(request=lambda *_: None, dispatched=lambda *_: None)
        service = Service(Registry(SPECS), self.jobs, a_waiting(database), JobFactory(3, 0))
        monitor: Any = SimpleNamespace(health=None, counts=counts)
        auth, settings = AuthSettings(anonymous="anywhere"), DispatcherSettings()
        self._api = rest.mount(service, auth, Tokens(TokenStore(database)), settings, monitor)

    def send(self, method: str, path: str, body: str = "", media: str = "application/json") -> Mapping[str, Any]:
        """The JSON of an answer."""
        more = {"CONTENT_TYPE": media, "HTTP_ACCEPT": "application/json"}
        _, _, answer = respond(self._api, method, path, body.encode(), **more)
        return strict_json.loads(answer)  # type: ignore[no-any-return]

    def stored(self, uuid: str) -> list[Any]:
        """The arguments that the function of a job gets."""
        job = self.jobs.get(uuid)
        assert job is not None
        return next(spec for spec in SPECS if spec.name == job.task).load(job.args, job.kwargs)[0]


@pytest.fixture
def api(sqlite_url: str) -> Iterator[Api]:
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        yield Api(database)


def test_decimal_keeps_its_digits_by_every_way_in(api: Api) -> None:
    item = f'{{"task": "pay", "args": [{DIGITS}, {DIGITS}]}}'
    lines = api.send("POST", "/dispatch", f"{item}\n", "application/x-ndjson")["jobs"]
    for uuid in (
        api.send("GET", f"/dispatch/pay/{DIGITS}/{DIGITS}")["uuid"],
        api.send("POST", "/dispatch/pay", f'{{"args": [{DIGITS}, {DIGITS}]}}')["uuid"],
        api.send("POST", "/dispatch", f"[{item}]")["jobs"][0]["uuid"],
        lines[0]["uuid"],
    ):
        assert api.stored(uuid) == [Decimal(DIGITS), float(DIGITS)]
        assert api.send("GET", f"/status/{uuid}")["args"] == [DIGITS, float(DIGITS)]


def test_decimal_keeps_its_digits_from_the_command_line(api: Api) -> None:
    values = positional(SPECS[0].arguments_schema(), [DIGITS, DIGITS])
    (line,) = ndjson([f'{{"task": "pay", "args": [{DIGITS}, {DIGITS}]}}'.encode()], Defaults(None, {}))
    for args in (values, line.item["args"]):  # type: ignore[index]
        uuid = api.send("POST", "/dispatch/pay", to_json("The job", {"args": args}))["uuid"]
        assert api.stored(uuid) == [Decimal(DIGITS), float(DIGITS)]


def test_each_wrong_place_is_an_entry_of_the_problem_document(api: Api) -> None:
    body = '{"kwargs": {"recipe": {"steps": [{"amount": "x"}, {}]}}}'
    assert api.send("POST", "/dispatch/cook", body)["errors"] == [
        {"where": "recipe.steps[0].amount", "message": "should be a valid decimal"},
        {"where": "recipe.steps[1].amount", "message": "is missing"},
    ]


@pytest.mark.parametrize(
    ("path", "body"), [("/dispatch/pay", '{"kwargs": {"amount": 1, "amount": 2}}'), ("/dispatch", '[{"a": 1, "a": 2}]')]
)
def test_body_that_names_one_argument_twice_is_refused(api: Api, path: str, body: str) -> None:
    problem = api.send("POST", path, body)
    assert problem["status"] == 400
    assert "an object has the member 'a" in problem["detail"]


def test_validator_that_fails_refuses_its_item_and_no_other(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    body = '[{"task": "find", "args": ["z"]}, {"task": "find", "args": ["a"]}]'
    first, second = api.send("POST", "/dispatch", body)["jobs"]
    assert first["problem"]["status"] == 422
    assert "key: its validator failed with KeyError" in first["problem"]["detail"]
    assert api.stored(second["uuid"]) == ["b"]
    assert api.send("GET", "/dispatch/find/z")["status"] == 422
    assert "Traceback" in caplog.text
