"""The states, times and ids of jobs."""

import os
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.core.errors import BadId
from pacifica.dispatcher.core.job import FINAL, WAITING, State, iso, micros, new_uuid, now, parse_uuid

BARE = "0192f0c17c1e7b609f3e2b1a6d0c4e5f"
CANONICAL = "0192f0c1-7c1e-7b60-9f3e-2b1a6d0c4e5f"
RANDOM_BITS = (1 << 62) - 1


def test_three_states_are_final_and_two_are_waiting() -> None:
    assert {state for state in State if state.final} == FINAL == {State.SUCCESS, State.FAILURE, State.REVOKED}
    assert {State.PENDING, State.RETRY} == WAITING


def test_new_id_is_a_uuid_of_version_7() -> None:
    made = UUID(new_uuid())
    assert (made.version, made.variant) == (7, "specified in RFC 4122")


def test_new_id_contains_its_time() -> None:
    before = now() // 1000
    made = UUID(new_uuid()).int >> 80
    assert before - 1 <= made <= now() // 1000 + 1


def test_ids_sort_by_creation() -> None:
    made = [new_uuid() for _ in range(20_000)]
    assert made == sorted(set(made))


def test_ids_of_several_threads_are_unique_and_in_order() -> None:
    made: list[list[str]] = [[] for _ in range(4)]
    threads = [
        threading.Thread(target=lambda own: own.extend(new_uuid() for _ in range(2000)), args=(m,)) for m in made
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({uuid for own in made for uuid in own}) == 8000
    assert all(own == sorted(own) for own in made)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_forked_process_does_not_repeat_the_random_bits_of_ids() -> None:
    new_uuid()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, new_uuid().encode())
        os._exit(0)
    os.waitpid(child, 0)
    of_child, of_parent = UUID(os.read(reading, 36).decode()), UUID(new_uuid())
    os.close(reading)
    os.close(writing)
    assert of_child.int & RANDOM_BITS != of_parent.int & RANDOM_BITS


def test_ids_stay_in_order_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_uuid()
    monkeypatch.setattr("time.time_ns", lambda: 0)
    assert new_uuid() > first


@pytest.mark.parametrize("text", [CANONICAL, CANONICAL.upper(), BARE, BARE.upper()])
def test_id_is_read_with_and_without_hyphens_in_either_case(text: str) -> None:
    assert parse_uuid(text) == CANONICAL


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nope",
        BARE[:-1],
        BARE + "0",
        CANONICAL + "\n",
        "{" + CANONICAL + "}",
        "{" + BARE + "}",
        "{{{{" + BARE,
        "urn:uuid:" + CANONICAL,
        "urn:" + BARE,
        "urn:uuid:" + BARE[:23],
        BARE[:-1] + "g",
        BARE[:-2] + "_f",
        "0x" + BARE[2:],
        "+" + BARE[1:],
        " " + BARE[1:],
        "0192-f0c1-7c1e-7b60-9f3e2b1a6d0c4e5f",
        "----" + BARE,
        BARE[:16] + "----" + BARE[16:],
        BARE.replace("1", "١"),
        CANONICAL.replace("1", "１"),
        CANONICAL.replace("7", "\x00"),
        "\ud800" * 36,
    ],
)
def test_other_text_is_not_an_id(text: str) -> None:
    with pytest.raises(BadId, match="is not a UUID"):
        parse_uuid(text)


@given(st.uuids())
def test_every_uuid_is_read_back(uuid: UUID) -> None:
    assert parse_uuid(str(uuid)) == parse_uuid(uuid.hex) == str(uuid)


@given(st.text(max_size=40))
def test_any_text_is_an_id_or_raises_bad_id(text: str) -> None:
    with suppress(BadId):
        assert UUID(parse_uuid(text)).hex == text.replace("-", "").lower()


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_767_225_600_000_000, "2026-01-01T00:00:00.000000Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_time_is_shown_in_iso_8601_to_the_microsecond_with_z(time: int, text: str) -> None:
    assert iso(time) == text


def test_missing_time_is_shown_as_none() -> None:
    assert iso(None) is None


def test_naive_time_is_utc_and_an_aware_one_is_converted() -> None:
    utc = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert micros(utc) == micros(utc.replace(tzinfo=None)) == micros(utc.astimezone(timezone(timedelta(hours=-9))))


@given(st.datetimes(timezones=st.just(UTC)))
def test_time_survives_row_and_text(moment: datetime) -> None:
    text = iso(micros(moment))
    assert text is not None
    assert datetime.fromisoformat(text) == moment
    assert micros(datetime.fromisoformat(text)) == micros(moment)
