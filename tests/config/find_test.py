"""Which configuration file is read, and the faults of files that cannot be read."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from pacifica.dispatcher.config.load import find, read
from pacifica.dispatcher.core.errors import ConfigError


@pytest.fixture
def places(tmp_path: Path) -> Mapping[str, Path]:
    """The four places, with a file in each."""
    made = {
        "option": tmp_path / "option.ini",
        "variable": tmp_path / "variable.ini",
        "cwd": tmp_path / "cwd" / "config.ini",
        "home": tmp_path / "home" / ".pacifica-dispatcher" / "config.ini",
    }
    for path in made.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[database]\n", encoding="utf-8")
    return made


def found(places: Mapping[str, Path], *named: str) -> Path | None:
    return find(
        places["option"] if "option" in named else None,
        {"DISPATCHER_CONFIG": str(places["variable"])} if "variable" in named else {},
        places["cwd"].parent,
        places["home"].parent.parent,
    )


def test_first_place_that_has_a_file_wins(places: Mapping[str, Path]) -> None:
    assert found(places, "option", "variable") == places["option"]
    assert found(places, "variable") == places["variable"]
    assert found(places) == places["cwd"]
    places["cwd"].unlink()
    assert found(places) == places["home"]
    places["home"].unlink()
    assert found(places) is None


def test_empty_variable_counts_as_not_set(places: Mapping[str, Path]) -> None:
    assert find(None, {"DISPATCHER_CONFIG": ""}, places["cwd"].parent, places["home"]) == places["cwd"]


def test_relative_path_is_relative_to_the_working_directory(places: Mapping[str, Path]) -> None:
    cwd = places["cwd"].parent
    assert find(Path("../option.ini"), {}, cwd, cwd) == cwd / "../option.ini"
    assert find(None, {"DISPATCHER_CONFIG": "config.ini"}, cwd, cwd) == cwd / "config.ini"


@pytest.mark.parametrize("named", ["option", "variable"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "there is no such file"),
        ("folder", "it is a folder"),
        ("x" * 300, "cannot be read: File name"),
    ],
)
def test_explicit_file_must_exist(places: Mapping[str, Path], named: str, name: str, reason: str) -> None:
    (places["option"].parent / "folder").mkdir()
    chosen = {**places, named: places[named].with_name(name)}
    with pytest.raises(ConfigError, match=reason) as caught:
        found(chosen, named)
    message = str(caught.value)
    assert message.startswith(str(chosen[named]))
    assert message.endswith("(from command line)" if named == "option" else "(from environment DISPATCHER_CONFIG)")


def test_default_place_that_cannot_be_read_has_no_file(tmp_path: Path) -> None:
    assert find(None, {}, tmp_path, tmp_path / ("x" * 300)) is None


def test_folder_named_config_ini_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "config.ini").mkdir()
    assert find(None, {}, tmp_path, tmp_path) is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_file_is_read_as_utf_8_with_or_without_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "config.ini"
    path.write_text("[database]\n# é雪\n", encoding=encoding)
    assert read(path) == "[database]\n# é雪\n"


def test_file_in_another_encoding_is_refused_with_the_position(tmp_path: Path) -> None:
    path = tmp_path / "config.ini"
    path.write_bytes("[database]\n# é\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="byte 13 is not UTF-8") as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_file_that_cannot_be_opened_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it cannot be read: Is a directory"):
        read(tmp_path)
