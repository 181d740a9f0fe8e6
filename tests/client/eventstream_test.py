"""The parser of ``text/event-stream`` against the examples and rules of the HTML standard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.client.eventstream import StreamMessage, lines, messages


def read(body: str, last_id: str = "") -> list[StreamMessage]:
    """The messages of a body."""
    return list(messages([body.encode()], last_id))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("data: YHOO\ndata: +2\ndata: 10\n\n", [("YHOO\n+2\n10", "")]),
        (": test stream\n\ndata: first event\nid: 1\n\n", [(None, ""), ("first event", "1")]),
        ("data:second event\nid\n\n", [("second event", "")]),
        ("data:  third event\n\n", [(" third event", "")]),
        ("data\n\ndata\ndata\n\ndata:", [("", ""), ("\n", "")]),
        ("data:test\n\ndata: test\n\n", [("test", ""), ("test", "")]),
        ("id: 1\n\ndata: x\n\n", [(None, "1"), ("x", "1")]),
        ("id: 1\x002\ndata: x\n\n", [("x", "")]),
        ("id: 7\ndata: cut off", []),
        ("\ufeffdata: x\n\n", [("x", "")]),
        ("event: add\nunknown: y\ndata: x\n\n", [("x", "")]),
    ],
)
def test_stream_is_parsed_as_the_standard_defines(body: str, expected: list[tuple[str | None, str]]) -> None:
    assert [(message.data, message.last_id) for message in read(body)] == expected


def test_message_without_data_sets_id_and_retry_time() -> None:
    assert read("retry: 2000\nid: 41\n\n") == [StreamMessage(None, "41", 2.0)]
    assert read("data: x\n\n", "41") == [StreamMessage("x", "41", None)]
    assert read("retry: soon\nretry: 9999999999\n\n") == [StreamMessage(None, "", None)]


ENDS = st.sampled_from(["\n", "\r", "\r\n"])
TEXT = st.text(st.characters(exclude_characters="\n\r\ufeff", codec="utf-8"), max_size=8)


@given(st.lists(st.tuples(TEXT, ENDS), max_size=8), st.data())
def test_lines_do_not_depend_on_the_chunks(parts: list[tuple[str, str]], data: st.DataObject) -> None:
    body = "".join(f"{text}{end}" for text, end in parts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    chunks = [body[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    joined = body.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]
    assert list(lines(chunks)) == joined


def test_line_is_yielded_as_soon_as_it_ends() -> None:
    found = iter(messages(iter([b"data: x\r\n\r", b"\n"])))
    assert next(found).data == "x"
