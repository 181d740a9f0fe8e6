"""A batch of items that are not valid costs little more than a valid one."""

from typing import Any
from unittest.mock import Mock

import pytest

from pacifica.dispatcher.core import dispatch_options, parameters, registry, value_faults
from pacifica.dispatcher.core.errors import BadArguments, DispatcherError
from pacifica.dispatcher.core.faults import MAX_DESCRIBED_ITEMS, MAX_FAULTS, MAX_HINTS
from pacifica.dispatcher.core.registry import Registry, TaskSpec
from pacifica.dispatcher.service.batch_items import Bound, DispatchItem, bind
from pacifica.dispatcher.service.new_job import DispatchContext, JobFactory

NUMBER = MAX_DESCRIBED_ITEMS + 50


def add(x: int, y: int) -> None: ...


def many(*values: int) -> None: ...


def bound(*items: DispatchItem) -> list[Bound]:
    tasks = Registry([TaskSpec("lab.add", add), TaskSpec("lab.many", many)])
    return list(bind(items, tasks, JobFactory(max_attempts=3, keep_keys=0), DispatchContext()))


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> Mock:
    """Count the calls of a function."""
    calls = Mock(side_effect=getattr(owner, name))
    monkeypatch.setattr(owner, name, calls)
    return calls


def test_faults_of_a_batch_are_described_only_for_its_first_items(monkeypatch: pytest.MonkeyPatch) -> None:
    described = counted(monkeypatch, value_faults, "describe")
    wrong = DispatchItem("lab.many", ["x"] * 190, {}, {})
    found = bound(*[wrong] * NUMBER, DispatchItem("lab.add", [1, 2], {}, {}), wrong)
    texts = [str(each) if isinstance(each, BadArguments) else "" for each in found]
    assert "values[0]: should be a valid integer; " in texts[MAX_DESCRIBED_ITEMS - 1]
    assert texts[0].endswith("; and many more.")
    assert texts[MAX_DESCRIBED_ITEMS] == texts[-1]
    assert texts[-1].endswith("not described, as 500 earlier items of the batch are not valid; send the item again.")
    assert not isinstance(found[NUMBER], DispatcherError)
    assert described.call_count == MAX_DESCRIBED_ITEMS * (MAX_FAULTS + 1)


@pytest.mark.parametrize(
    ("args", "kwargs"), [(list(range(190)), {}), ([1, 2], {f"k{number}": 1 for number in range(190)})]
)
def test_arguments_beyond_the_faults_of_an_answer_are_not_read(
    monkeypatch: pytest.MonkeyPatch, args: list[int], kwargs: dict[str, int]
) -> None:
    described = counted(monkeypatch, parameters, "_names")
    (found,) = bound(DispatchItem("lab.add", args, kwargs, {}))
    assert str(found).endswith("; and many more.")
    assert described.call_count == MAX_FAULTS + 1


def test_faults_of_options_are_described_only_for_the_first_items(monkeypatch: pytest.MonkeyPatch) -> None:
    made = counted(monkeypatch, dispatch_options, "Fault")
    wrong = DispatchItem("lab.add", [1, 2], {}, {f"option-{number}": 1 for number in range(10)})
    texts = [str(each) for each in bound(*[wrong] * NUMBER)]
    assert "option-9: is not an option" in texts[MAX_DESCRIBED_ITEMS - 1]
    assert texts[-1].endswith("not described, as 500 earlier items of the batch are not valid; send the item again.")
    assert made.call_count == 10 * MAX_DESCRIBED_ITEMS + NUMBER - MAX_DESCRIBED_ITEMS


def test_similar_names_are_searched_only_for_the_first_unknown_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = counted(monkeypatch, registry.difflib, "get_close_matches")
    texts = [str(each) for each in bound(*(DispatchItem("lab.ad", [], {}, {}) for _ in range(NUMBER)))]
    assert texts[0] == "No task named 'lab.ad' is registered. Did you mean lab.add or lab.many?"
    assert texts[-1] == "No task named 'lab.ad' is registered. GET /tasks lists the registered tasks."
    assert searched.call_count == MAX_HINTS
