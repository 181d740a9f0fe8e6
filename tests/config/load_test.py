"""The settings of a process from its file and its environment."""

from pathlib import Path

import pytest

from pacifica.dispatcher.config.celery_settings import CelerySettings
from pacifica.dispatcher.config.load import load_settings
from pacifica.dispatcher.config.parser import logging_settings, parse
from pacifica.dispatcher.config.settings import SETTINGS, BrokerSettings, example_ini
from pacifica.dispatcher.core.errors import ConfigError

EXAMPLE = Path(__file__).parent.parent.parent / "config.ini"


@pytest.fixture(autouse=True)
def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory and a home without configuration files, and an environment without our variables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("DISPATCHER_CONFIG", "BROKER_URL", "CELERY_BROKER_URL", "PEEWEE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_no_file_at_all_gives_the_defaults() -> None:
    assert load_settings() == parse("", {}, celery=BrokerSettings)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[logging]\nformat = json\naccess = off\n",
        "[celery]\nworker_concurrency = 2\nbroker_url = redis://\n[logging]\nlevel = error\n",
    ],
)
def test_logging_settings_without_celery_are_the_same(text: str) -> None:
    assert logging_settings(text, {}) == parse(text, {}, celery=CelerySettings).logging


@pytest.mark.parametrize("fault", ["[logging]\nformat = xml", "[database]\npeewee_url = x", "[no]", "level = error"])
def test_logging_settings_without_celery_report_other_faults(fault: str) -> None:
    with pytest.raises(ConfigError):
        logging_settings(fault, {})


def test_logging_settings_do_not_check_celery_settings() -> None:
    text = "[celery]\nworker_concurrency = many\nno_such_setting = 1\n[logging]\nformat = json\n"
    assert logging_settings(text, {}).format == "json"


def test_environment_is_read_at_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEEWEE_URL", "sqliteext:///late.sqlite3")
    assert load_settings().database.peewee_url == "sqliteext:///late.sqlite3"
    assert load_settings(environ={}).database.peewee_url == "sqliteext:///db.sqlite3"


def test_file_and_environment_are_combined(empty_place: Path) -> None:
    path = empty_place / "mine.ini"
    path.write_text(
        "[dispatcher]\nmax_attempts = 7\nrelay_batch = 7\n[celery]\nworker_concurrency = 7\n", encoding="utf-8"
    )
    made = load_settings(path, {"BROKER_URL": "redis://"})
    assert (made.dispatcher.max_attempts, made.dispatcher.relay_batch) == (7, 7)
    assert dict(made.celery) == {"broker_url": "redis://", "worker_concurrency": 7}


def test_file_in_the_working_directory_is_found(empty_place: Path) -> None:
    (empty_place / "config.ini").write_text("[dispatcher]\nmax_attempts = 5\n", encoding="utf-8")
    assert load_settings().dispatcher.max_attempts == 5


def test_file_in_the_home_directory_is_found(empty_place: Path) -> None:
    folder = empty_place / "home" / ".pacifica-dispatcher"
    folder.mkdir(parents=True)
    (folder / "config.ini").write_text("[dispatcher]\nmax_attempts = 6\n", encoding="utf-8")
    assert load_settings().dispatcher.max_attempts == 6


def test_process_without_a_home_directory_gets_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", no_home)
    assert load_settings(environ={}) == load_settings()


def test_fault_names_the_file(empty_place: Path) -> None:
    path = empty_place / "config.ini"
    path.write_text("[dispatcher]\nmax_attempts = no\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert f"(from {path})" in str(caught.value)


def test_missing_explicit_file_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_CONFIG", "nowhere.ini")
    with pytest.raises(ConfigError, match=r"nowhere\.ini: there is no such file"):
        load_settings()


def test_example_file_sets_every_setting_to_its_default() -> None:
    text = example_ini()
    assert load_settings(EXAMPLE) == load_settings()
    for setting in SETTINGS:
        assert f"\n# {setting.description}\n{setting.key} = {setting.default}".rstrip() in text


def test_fault_in_any_line_of_the_example_file_is_reported() -> None:
    for setting in SETTINGS:
        text = example_ini().replace(f"\n{setting.key} =", f"\n{setting.key} = \x07")
        with pytest.raises(ConfigError) as caught:
            parse(text, {}, celery=CelerySettings)
        assert [fault.key for fault in caught.value.faults] == [setting.key]
