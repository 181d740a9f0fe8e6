"""The tree of errors is the one in the docstring of its module."""

import inspect
import pickle
import re
from collections.abc import Iterator

import pytest
from celery.utils.serialization import get_pickleable_exception

from pacifica.dispatcher.core import errors
from pacifica.dispatcher.core.errors import DispatcherError
from pacifica.dispatcher.core.faults import ConfigFault, Fault

LINE = re.compile(r"(?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+)(\s{2,}(?P<meaning>.+))?\Z")


def drawn() -> Iterator[tuple[str, str | None]]:
    """Each class of the tree in the docstring, with its base class."""
    trail: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = LINE.match(line)
        if found is None or (trail and not found["branch"]):
            continue
        del trail[len(found["branch"]) // 4 :]
        yield found["name"], trail[-1] if trail else None
        trail.append(found["name"])


def family(root: type[DispatcherError]) -> Iterator[type[DispatcherError]]:
    """A class and its subclasses at every depth."""
    yield root
    for below in root.__subclasses__():
        yield from family(below)


FAMILY = [kind for kind in family(DispatcherError) if kind.__module__ == errors.__name__]
UUID = "0192f0c1-7c1e-7b60-9f3e-2b1a6d0c4e5f"
FAULTS = [Fault("x", "should be a valid integer"), Fault("y", "is missing")]
SAMPLES = {
    "ConfigError": lambda: errors.ConfigError([ConfigFault("database", "peewee_url", "x", "it cannot be used.")]),
    "BadId": lambda: errors.BadId("nope" * 100),
    "UnknownTask": lambda: errors.UnknownTask("ad" * 100, ["add"]),
    "UnusableTask": lambda: errors.UnusableTask("lab.scan"),
    "UnknownJob": lambda: errors.UnknownJob(UUID),
    "PurgedJob": lambda: errors.PurgedJob(UUID),
    "BadDispatch": lambda: errors.BadDispatch("It cannot be used", FAULTS),
    "BadArguments": lambda: errors.BadArguments("add", FAULTS),
    "BadOptions": lambda: errors.BadOptions(FAULTS),
    "KeyReused": lambda: errors.KeyReused("key" * 100),
    "AlreadyFinal": lambda: errors.AlreadyFinal(UUID, "SUCCESS"),
    "Unauthorized": lambda: errors.Unauthorized("A sentence.", invalid=True),
    "MissingScope": lambda: errors.MissingScope("dispatch", "ad" * 100),
    "TooManyRequests": lambda: errors.TooManyRequests(3),
    "CannotStart": errors.CannotStart,
    "SchemaTooOld": lambda: errors.SchemaTooOld(1, 2),
    "SchemaTooNew": lambda: errors.SchemaTooNew(2, 1),
    "SchemaUnknown": lambda: errors.SchemaUnknown("0002_more"),
    "MigrationFailed": lambda: errors.MigrationFailed("0002_more", "no such table" * 50, kept=True),
    "EndedWithoutResult": lambda: errors.EndedWithoutResult(UUID, "FAILURE", {"type": "ValueError", "message": "no"}),
}


def sample(kind: type[DispatcherError]) -> DispatcherError:
    """An instance of the class; most are made from one sentence."""
    make = SAMPLES.get(kind.__name__)
    return make() if make else kind("A sentence.")


def test_tree_in_the_docstring_is_the_real_tree() -> None:
    real = {kind.__name__: kind.__base__.__name__ for kind in FAMILY if kind is not DispatcherError and kind.__base__}
    assert dict(drawn()) == {"DispatcherError": None, **real}


def test_every_class_has_a_unique_code() -> None:
    codes = [vars(kind)["code"] for kind in FAMILY]
    assert len(set(codes)) == len(FAMILY)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_every_error_is_a_sentence(kind: type[DispatcherError]) -> None:
    text = str(sample(kind))
    assert re.match(r"[A-Z'\[].*[.?]\Z", text, re.DOTALL), text
    assert len(text) < 400


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_details_are_json(kind: type[DispatcherError]) -> None:
    from pacifica.dispatcher.core import strict_json

    strict_json.dumps(dict(sample(kind).details()))


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_every_class_has_a_docstring(kind: type[DispatcherError]) -> None:
    assert inspect.getdoc(kind)
    assert "__doc__" in vars(kind)


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_every_error_can_be_pickled(kind: type[DispatcherError]) -> None:
    error = sample(kind)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.details()) == (kind, str(error), error.details())
    assert get_pickleable_exception(error) is error


def test_every_fault_is_named() -> None:
    error = errors.BadArguments("add", FAULTS)
    assert str(error) == "The arguments do not fit task add: x: should be a valid integer; y: is missing."
    assert [entry["where"] for entry in error.details()["errors"]] == ["x", "y"]


def test_error_names_the_first_of_many_faults_each_shortened() -> None:
    error = errors.BadOptions([Fault(f"{number}-{'x' * 200}", "is wrong " * 1000) for number in range(1000)])
    assert len(str(error)) < 11_000
    assert "; and 990 more." in str(error)
    assert [entry["where"][:2] for entry in error.details()["errors"]] == [f"{number}-" for number in range(10)]


def test_error_of_a_batch_item_is_short() -> None:
    from pacifica.dispatcher.web import problem_document

    problem = problem_document.as_item(errors.BadOptions([Fault(f"o{number}", "is wrong") for number in range(12)]))[
        "problem"
    ]
    assert problem["detail"] == "The options cannot be used: o0: is wrong; o1: is wrong; o2: is wrong; and 9 more."
    assert [entry["where"] for entry in problem["errors"]] == ["o0", "o1", "o2"]
    assert (problem["status"], problem_document.as_item(errors.UnknownTask("zzz"))["problem"]["status"]) == (422, 404)


def test_unknown_task_suggests_similar_names_or_where_to_look() -> None:
    assert "Did you mean add or and?" in str(errors.UnknownTask("ad", ["add", "and"]))
    assert "GET /tasks" in str(errors.UnknownTask("zzz"))


def test_every_unavailable_error_has_a_retry_after() -> None:
    assert all(kind.retry_after > 0 for kind in family(errors.Unavailable))  # type: ignore[attr-defined]
