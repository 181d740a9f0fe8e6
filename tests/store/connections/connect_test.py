"""The URLs of databases."""

from contextlib import closing
from pathlib import Path

import pytest

from pacifica.dispatcher.store.connections.connect import SCHEMES, open_database
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore

from ..conftest import a_job
from ..queries import one


@pytest.mark.parametrize("pool", ["", "+pool"])
def test_every_url_scheme_opens_a_database(database_url: str, pool: str) -> None:
    scheme, _, rest = database_url.partition("://")
    with closing(Database(f"{scheme}{pool}://{rest}")) as database:
        database.wait_until_up(1, 0.0)
        database.wait_until_up(1, 0.0)
        JobStore(database).add([job := a_job(args=["😀"])])
        assert JobStore(database).get(job.uuid) == job
        assert database.peewee.is_closed() == bool(pool)


def test_sqlite_schemes_are_synonyms(tmp_path: Path) -> None:
    for scheme in ("sqlite", "sqliteext", "sqlite+pool", "sqliteext+pool"):
        with closing(Database(f"{scheme}:///{tmp_path}/same.db")) as database:
            database.wait_until_up(1, 0.0)
            assert one(database) == 1


def test_escapes_in_user_and_password_are_decoded() -> None:
    for url, password in (
        ("postgresql://us%40er:p%40ss%2Fw%3Ard@h:5/db", "p@ss/w:rd"),
        ("mysql+pool://us%40er:100%@h:5/db", "100%"),
    ):
        parameters = open_database(url).connect_params
        assert (parameters["user"], parameters["password"], parameters["host"], parameters["port"]) == (
            "us@er", password, "h", 5
        )  # fmt: skip


def test_a_relative_path_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(Database("sqlite:///here.db")) as database:
        database.wait_until_up(1, 0.0)
    assert (tmp_path / "here.db").exists()


NO_URLS = ["", "nope", "db.sqlite3", "oracle://h/db", "SELECT 1", "sqlite", "postgres://h/db", "sqlite:///"]
NO_URLS += ["sqlite:///:memory:", "sqliteext://", "sqlite+pool:///:memory:", "postgresql://h:port/db"]


@pytest.mark.parametrize("url", [*NO_URLS, "postgresql://[::1/db"])
def test_an_unusable_url_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        Database(url)


def test_an_unknown_scheme_is_refused_with_the_list_of_schemes() -> None:
    with pytest.raises(ValueError, match="the scheme is oracle") as caught:
        Database("oracle://h/db")
    assert all(scheme in str(caught.value) for scheme in SCHEMES)


def test_repr_does_not_show_the_password() -> None:
    assert "secret" not in repr(Database("postgresql://me:secret@h/db"))
