"""Every valid line of a configuration file is read, and every other line is a fault."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.config.ini import Given, Name, read_ini


def faults(text: str) -> list[str]:
    return [str(fault) for fault in read_ini(text, "c.ini").faults]


def test_values_come_with_their_source() -> None:
    ini = read_ini("[a]\nx = 1\n[b]\ny: 2\n", "c.ini")
    assert ini.sections == ("a", "b")
    assert ini.values == {Name("a", "x"): Given("1", "c.ini"), Name("b", "y"): Given("2", "c.ini")}
    assert ini.faults == ()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x = 1\ny = 2\n[a]\n", "c.ini, line 1: a [section] must come first"),
        ("[a]\n\nnonsense\n", "c.ini, line 3: nonsense is not of the form key = value"),
        ("[a]\n= 3\n", "c.ini, line 2: = 3 is not of the form key = value"),
        ("[a]\nx = 1\nX = 2\n", "c.ini, line 3: x occurs twice in [a]"),
        ("[a]\nx = 1\n[b]\n[a]\n", "c.ini, line 4: the section [a] occurs twice"),
        ("[a\nx = 1\n[a]\n", "c.ini, line 1: a [section] must come first"),
        ("[a]\nx = \0", "c.ini: it contains a NUL character, so it is not a text file"),
    ],
)
def test_faulty_line_is_reported_with_its_number(text: str, fault: str) -> None:
    assert faults(text) == [fault]


def test_every_faulty_line_is_reported_in_the_order_of_the_file() -> None:
    lines = "x\n[a]\none\nk = 1\ntwo\nk = 2\n[a]\nk = 3\nthree\n[a]\n"
    assert [fault.split(":")[0] for fault in faults(lines)] == [
        f"c.ini, line {line}" for line in (1, 3, 5, 6, 7, 9, 10)
    ]


def test_lines_around_a_faulty_line_are_read() -> None:
    ini = read_ini("[a]\nx = 1\nnonsense\n  continued\n[a]\ny = 2\n", "c.ini")
    assert {name: value.text for name, value in ini.values.items()} == {Name("a", "x"): "1", Name("a", "y"): "2"}
    assert ini.sections == ("a",)


def test_indented_line_continues_the_value_above_it() -> None:
    text = '[celery]\ntask_routes = {\n  # of mine\n  "a": 1\n\n  }\n'
    assert read_ini(text, "c.ini").values[Name("celery", "task_routes")].text == '{\n"a": 1\n\n}'


@pytest.mark.parametrize("line", ["//user:S3CR3T@host", "  //:a/S3CR3T@b@host", "=pyamqp://user:S3CR3T@host"])
def test_password_in_a_faulty_line_is_not_shown(line: str) -> None:
    (fault,) = faults(f"[a]\n{line}\n") or faults(f"{line}\n[a]\n")
    assert "S3CR3T" not in fault


@given(st.text())
def test_any_text_is_read_or_has_faults(text: str) -> None:
    ini = read_ini(text, "c.ini")
    assert all(name.section in ini.sections for name in ini.values)


LINES = ("[a]", "[b]", "x = 1", "y: 2", "x", "  more", "", "# c", "= 1", "[a", "]", "\t")


@given(st.lists(st.sampled_from(LINES), max_size=12))
def test_any_order_of_lines_is_read_or_has_faults(lines: list[str]) -> None:
    ini = read_ini("\n".join(lines), "c.ini")
    assert all("\0" not in "".join(name) + value.text for name, value in ini.values.items())
    assert len({fault.key for fault in ini.faults}) == len(ini.faults)
