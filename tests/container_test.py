"""The parts of a process that depend on its broker."""

from contextlib import closing
from pathlib import Path

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.config.load import load_settings
from pacifica.dispatcher.container import Container
from pacifica.dispatcher.core.dispatch_options import DEFAULT_OPTIONS
from pacifica.dispatcher.core.job import now

from .processes import free_port


def container_of(folder: Path, broker_url: str) -> Container:
    """A process on a database in this folder."""
    environ = {"PEEWEE_URL": f"sqliteext:///{folder}/db.sqlite3", "BROKER_URL": broker_url, "HOME": "/nonexistent"}
    return Container(lambda: load_settings(environ=environ))


@pytest.mark.parametrize(
    ("broker_url", "row_queue"), [("database://", True), ("pyamqp://", False), ("redis://localhost", False)]
)
def test_rows_are_the_queue_only_if_the_broker_is_the_database(
    tmp_path: Path, broker_url: str, row_queue: bool
) -> None:
    assert container_of(tmp_path, broker_url).row_queue is row_queue


def test_job_that_python_cannot_publish_is_due_at_once(tmp_path: Path) -> None:
    container = container_of(tmp_path, f"pyamqp://guest@127.0.0.1:{free_port()}//")
    with closing(container.database):
        container.prepare()
        _ = container.registry
        job = container.jobs.get(container.app.tasks["add"].delay(2, 2).id)
    assert job is not None
    assert job.due is not None
    assert job.due <= now()


def test_without_a_broker_no_process_publishes(tmp_path: Path) -> None:
    container = container_of(tmp_path, "database://")
    with closing(container.database):
        container.prepare()
        _ = container.registry
        accepted = [container.service.dispatch(container.registry["add"].bind([2, 2], {}), DEFAULT_OPTIONS)]
        accepted += [container.jobs.get(container.app.tasks["add"].delay(2, 2).id)]
        rows = container.database.rows(orm.Job.select(orm.Job.published, orm.Job.due))
        assert len(rows) == len(accepted) == 2
        assert all(published is None and due <= now() for published, due in rows)
        assert container.database.rows(orm.Message.select(orm.Message.id)) == []
