"""Messages made from a template are the same as those made one by one, except for the words that fill it."""

from collections.abc import Hashable

import pytest

from pacifica.dispatcher.core.job import OutboxEntry
from pacifica.dispatcher.delivery.message_template import LIMIT, TemplateCache, make_template, template_key

UUID, OTHER = "01a20e35-add4-7939-8278-113335150592", "01a20e35-af01-7f0e-84cc-de0ebaf6f238"
ORIGIN_HEADERS = ("traceparent", "request_id")


def kind_of(job: OutboxEntry) -> Hashable:
    """The kind of the job's message."""
    return template_key(job, ORIGIN_HEADERS)[0]


def message(uuid: str, word: str = "") -> bytes:
    """The parts of a message that a template needs, with characters that are special in a format."""
    return f"id {uuid} root {uuid} %s %(a)s 100% {{}} {word} about {uuid} \\1".encode()


@pytest.mark.parametrize("word", ["", "0123456789abcdef", "a.b*c+(d)|e%s\\2"])
def test_filled_template_differs_only_in_its_words(word: str) -> None:
    words = [UUID.encode(), *([word.encode()] if word else [])]
    made = make_template(message(UUID, word), words)
    assert made is not None
    assert made.fill(words) == message(UUID, word)
    other = [OTHER.encode(), *([word[::-1].encode()] if word else [])]
    assert made.fill(other) == message(OTHER, word[::-1])


@pytest.mark.parametrize("word", ["id", "root", "%", "a", " ", UUID, UUID[3:7], "not there"])
def test_ambiguous_word_gives_no_template(word: str) -> None:
    assert make_template(message(UUID, word if word != "not there" else ""), [UUID.encode(), word.encode()]) is None


def test_id_that_is_a_word_of_the_message_gives_no_template() -> None:
    assert make_template(message("about"), [b"about"]) is None


def test_messages_with_words_of_equal_lengths_share_a_template() -> None:
    job = OutboxEntry(UUID, "add", version=3, headers={"request_id": "abc"}, created=5)
    kind, words = template_key(job, ORIGIN_HEADERS)
    assert words == [UUID.encode(), b"abc"]
    assert kind_of(OutboxEntry(OTHER, "add", headers={"request_id": "xyz"})) == kind


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
def test_messages_that_differ_otherwise_share_no_template(other: OutboxEntry) -> None:
    assert kind_of(other) not in (
        None,
        kind_of(OutboxEntry(UUID, "add")),
    )
    same = OutboxEntry(UUID, "add", headers={"request_id": "xyz"})
    assert (kind_of(other) == kind_of(same)) == (other.headers == {"request_id": "abc"})


@pytest.mark.parametrize(
    "job",
    [OutboxEntry(UUID, "add", expires=5), OutboxEntry(UUID, "add", headers={"root_id": UUID, "request_id": "abc"})],
)
def test_job_that_expires_or_belongs_to_a_workflow_has_no_template(job: OutboxEntry) -> None:
    assert kind_of(job) is None


def test_template_is_found_only_for_its_route() -> None:
    cache = TemplateCache()
    cache.keep("kind", {"queue": "q"}, "made")
    cache.keep("kind", {"queue": "q"}, None)
    assert cache.find("kind", {"queue": "q"}) == "made"
    assert cache.find("kind", {"queue": "other"}) is None
    assert cache.find("other", {"queue": "q"}) is None


def test_cache_keeps_at_most_the_limit() -> None:
    cache = TemplateCache()
    for number in range(LIMIT + 1):
        cache.keep(number, {}, "made")
    assert [cache.find(number, {}) is not None for number in (0, LIMIT)] == [False, True]
