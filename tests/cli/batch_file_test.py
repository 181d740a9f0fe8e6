"""The lines of NDJSON and CSV files of jobs, valid and invalid."""

import csv
import io
import re
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.cli.batch_file import Defaults, FileFacts, comma_separated, facts, ndjson
from pacifica.dispatcher.cli.dispatch_arguments import options_of
from pacifica.dispatcher.cli.exit_codes import CommandRefused
from pacifica.dispatcher.client import BatchItem, Problem

PLAIN = Defaults("add", {})
CELL = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=5)


@given(st.lists(st.tuples(CELL, CELL), max_size=5))
def test_csv_that_a_program_wrote_is_read_back_as_text(rows: list[tuple[str, str]]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("a", "b"), *rows])
    file.seek(0)
    strings = {"properties": {name: {"type": "string"} for name in "ab"}}
    found = [line.item for line in comma_separated(file, PLAIN, strings)]
    assert found == [{"task": "add", "kwargs": {"a": a, "b": b}} for a, b in rows]


def test_bad_line_of_csv_keeps_its_number_and_the_rest_is_read() -> None:
    text = 'a,b\n1,"x\ny"\n2\n\n"3"4,5\n6,\n'
    found = list(comma_separated(io.StringIO(text, newline=""), PLAIN, {}))
    assert [line.number for line in found] == [2, 4, 6, 7]
    assert [isinstance(line.item, Problem) for line in found] == [False, True, True, False]
    assert found[3].item == {"task": "add", "kwargs": {"a": 6}}


@pytest.mark.parametrize(
    ("header", "error"),
    [
        ("a,b,a,b,c", "Line 1 names 'a', 'b' more than once"),
        ("\na,b,", "Line 2 has no name for column 3; name it, or remove the comma at the end"),
        ('"a"b', "Line 1 must name the arguments. The line is not CSV"),
        ("a,\udce9", "Line 1 must name the arguments. The line is not UTF-8"),
    ],
)
def test_ambiguous_header_is_refused(header: str, error: str) -> None:
    with pytest.raises(CommandRefused, match=re.escape(error)):
        list(comma_separated(io.StringIO(f"{header}\n1,2\n", newline=""), PLAIN, {}))


def test_line_of_csv_that_is_not_utf_8_is_a_problem() -> None:
    source = io.TextIOWrapper(io.BytesIO("a\nx\né\ny\n".encode("latin-1")), "utf-8", "surrogateescape", newline="")
    found = list(comma_separated(source, PLAIN, {}))
    assert [isinstance(line.item, Problem) for line in found] == [False, True, False]
    problem = cast("Problem", found[1].item)
    assert (found[1].number, problem.detail) == (3, "The line is not UTF-8; save the file in that encoding.")


def test_bad_item_has_the_members_of_a_problem_of_the_service() -> None:
    members = {"title": "Bad Request", "status": 400, "detail": "No.", "message": "No."}
    assert Problem.bad_item("No.").document == {"type": "urn:pacifica-dispatcher:problem:bad-request", **members}


def test_values_of_a_line_precede_the_common_values() -> None:
    common = Defaults("add", {"priority": 1, "queue": "q"})
    source = [
        b'{"args": [1]}\n',
        b"\n",
        b'{"task": "mul", "options": {"priority": 9}}',
        b"\xff",
        b"5",
        b'{"options": 3}',
    ]
    found = list(ndjson(source, common))
    assert [line.number for line in found] == [1, 3, 4, 5, 6]
    assert found[0].item == {"task": "add", "args": [1], "options": {"priority": 1, "queue": "q"}}
    assert found[1].item == {"task": "mul", "options": {"priority": 9, "queue": "q"}}
    assert [isinstance(line.item, Problem) for line in found] == [False, False, True, True, False]
    assert isinstance(next(ndjson([b"{}"], Defaults(None, {}))).item, Problem)


def test_labels_of_a_line_are_merged_with_the_common_labels() -> None:
    common = Defaults("add", options_of([("labels", '{"x": "1"}')], [("run", "55"), ("who", "all")]))
    source = [b'{"options": {"labels": {"a": "b", "who": "line"}}}', b"{}", b'{"options": {"labels": 3}}']
    found = [cast("BatchItem", line.item)["options"]["labels"] for line in ndjson(source, common)]
    everywhere = {"run": "55", "x": "1"}
    assert found == [{**everywhere, "a": "b", "who": "line"}, {**everywhere, "who": "all"}, 3]


def test_key_of_a_file_depends_on_path_content_and_common_values(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    keys = set()
    for text in ("1\n2\n", "1\n2\n3"):
        path.write_text(text, encoding="utf-8")
        other.write_text(text, encoding="utf-8")
        found = [facts(path, PLAIN), facts(other, PLAIN), facts(path, Defaults("mul", {})), facts(path, PLAIN)]
        assert found[0] == found[3]
        keys |= {one.key for one in found}
    assert (len(keys), found[0].lines) == (6, 3)
    path.write_bytes(b"")
    assert facts(path, PLAIN) == FileFacts(0, facts(path, PLAIN).key)
