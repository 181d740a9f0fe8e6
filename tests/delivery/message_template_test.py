"""One message makes others: what is put into a stencil is all that differs."""

import pytest

from pacifica.dispatcher.core.job import OutboxEntry
from pacifica.dispatcher.delivery.message_template import LIMIT, Stencils, cut, likeness

UUID, OTHER = "01a20e35-add4-7939-8278-113335150592", "01a20e35-af01-7f0e-84cc-de0ebaf6f238"
OWN = ("traceparent", "request_id")


def message(uuid: str, word: str = "") -> bytes:
    """As far as a stencil looks at it; the signs are those that have a meaning in a format."""
    return f"id {uuid} root {uuid} %s %(a)s 100% {{}} {word} about {uuid} \\1".encode()


@pytest.mark.parametrize("word", ["", "0123456789abcdef", "a.b*c+(d)|e%s\\2"])
def test_what_is_put_into_a_stencil_is_all_that_differs(word: str) -> None:
    words = [UUID.encode(), *([word.encode()] if word else [])]
    made = cut(message(UUID, word), words)
    assert made is not None
    assert made.fill(words) == message(UUID, word)
    other = [OTHER.encode(), *([word[::-1].encode()] if word else [])]
    assert made.fill(other) == message(OTHER, word[::-1])


@pytest.mark.parametrize("word", ["id", "root", "%", "a", " ", UUID, UUID[3:7], "not there"])
def test_no_stencil_is_made_where_a_word_may_be_another_one(word: str) -> None:
    assert cut(message(UUID, word if word != "not there" else ""), [UUID.encode(), word.encode()]) is None


def test_no_stencil_is_made_of_a_job_whose_id_is_a_word_of_its_message() -> None:
    assert cut(message("about"), [b"about"]) is None


def test_jobs_are_alike_whose_messages_differ_in_words_of_the_same_lengths() -> None:
    job = OutboxEntry(UUID, "add", version=3, headers={"request_id": "abc"}, created=5)
    kind, words = likeness(job, OWN)
    assert words == [UUID.encode(), b"abc"]
    assert likeness(OutboxEntry(OTHER, "add", headers={"request_id": "xyz"}), OWN)[0] == kind


@pytest.mark.parametrize(
    "other",
    [
        OutboxEntry(OTHER, "mul"),
        OutboxEntry(OTHER, "add", queue="q"),
        OutboxEntry(OTHER, "add", priority=3),
        OutboxEntry(OTHER, "add", retries=1),
        OutboxEntry("a-step", "add"),
        OutboxEntry(OTHER, "add", headers={"request_id": "abc"}),
        OutboxEntry(OTHER, "add", headers={"traceparent": "abc"}),
        OutboxEntry(OTHER, "add", headers={"traceparent": "abc", "request_id": "abc"}),
        OutboxEntry(OTHER, "add", headers={"request_id": "abcd"}),
    ],
)
def test_jobs_are_not_alike_whose_messages_differ_otherwise(other: OutboxEntry) -> None:
    assert likeness(other, OWN)[0] not in (None, likeness(OutboxEntry(UUID, "add"), OWN)[0])
    same = OutboxEntry(UUID, "add", headers={"request_id": "xyz"})
    assert (likeness(other, OWN)[0] == likeness(same, OWN)[0]) == (other.headers == {"request_id": "abc"})


@pytest.mark.parametrize(
    "job",
    [OutboxEntry(UUID, "add", expires=5), OutboxEntry(UUID, "add", headers={"root_id": UUID, "request_id": "abc"})],
)
def test_a_job_that_expires_or_is_part_of_a_workflow_is_like_no_other(job: OutboxEntry) -> None:
    assert likeness(job, OWN)[0] is None


def test_a_stencil_is_good_for_messages_that_go_the_same_way() -> None:
    stencils = Stencils()
    stencils.keep("kind", {"queue": "q"}, "made")
    stencils.keep("kind", {"queue": "q"}, None)
    assert stencils.find("kind", {"queue": "q"}) == "made"
    assert stencils.find("kind", {"queue": "other"}) is None
    assert stencils.find("other", {"queue": "q"}) is None


def test_no_more_stencils_are_kept_than_the_limit() -> None:
    stencils = Stencils()
    for number in range(LIMIT + 1):
        stencils.keep(number, {}, "made")
    assert [stencils.find(number, {}) is not None for number in (0, LIMIT)] == [False, True]
