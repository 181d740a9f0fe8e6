"""How a batch is divided into requests."""

import json

from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.client import BatchItem, Problem
from pacifica.dispatcher.client.batch import MOST_BYTES, MOST_ITEMS, chunks

ITEM: BatchItem = {"task": "add", "args": [1, 1]}


@given(st.lists(st.sampled_from([10, 1_000, 400_000, 1_200_000]), max_size=12))
def test_request_with_several_items_has_at_most_most_bytes(sizes: list[int]) -> None:
    items: list[BatchItem] = [{"task": "add", "args": ["x" * size]} for size in sizes]
    found = list(chunks(items))
    assert [json.loads(str(text)) for chunk in found for text in chunk] == items
    assert all(len(chunk) == 1 or sum(len(str(text)) + 1 for text in chunk) <= MOST_BYTES for chunk in found)


@given(st.integers(0, 3 * MOST_ITEMS))
def test_request_has_at_most_most_items_and_at_least_one(count: int) -> None:
    sizes = [len(chunk) for chunk in chunks(ITEM for _ in range(count))]
    assert sum(sizes) == count
    assert all(size == MOST_ITEMS for size in sizes[:-1])
    assert all(0 < size <= MOST_ITEMS for size in sizes)


def test_item_that_is_not_json_is_a_problem_in_its_place() -> None:
    chunk = next(chunks([ITEM, {"task": "add", "args": [float("nan")]}, ITEM]))
    assert [isinstance(one, Problem) for one in chunk] == [False, True, False]
