"""An application that is adopted: its settings, its tasks, and the applications that join it."""

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from celery import Celery, Task
from celery._state import get_current_app
from celery.beat import Scheduler
from kombu import Exchange, Queue

from pacifica.dispatcher import adopt
from pacifica.dispatcher.adoption import AdoptedApp, is_named, take_over
from pacifica.dispatcher.adoption.loader import TolerantLoader
from pacifica.dispatcher.app import DispatcherApp
from pacifica.dispatcher.config.load import load_settings
from pacifica.dispatcher.container import Container
from pacifica.dispatcher.core.errors import ConfigError, UnknownTask
from pacifica.dispatcher.worker.adopted_spec import Asked
from pacifica.dispatcher.worker.adopted_task import AdoptedTask
from pacifica.dispatcher.worker.canvas_tasks import CanvasTask
from pacifica.dispatcher.worker.result_backend import PeeweeBackend


def add(x: int, y: int) -> int:
    """Add."""
    return x + y


def report(day: str) -> str:
    return day


class ShopApp(Celery):
    """A class of the project's own."""

    def gen_task_name(self, name: str, module: str) -> str:
        return f"shop.{name}"


@pytest.fixture
def settings(tmp_path: Path) -> Any:
    """Makes the settings of a configuration, with a database of its own."""

    def make(dispatcher: str = "", celery: str = "") -> Any:
        text = f"[database]\npeewee_url = sqliteext:///{tmp_path}/db.sqlite3\n[dispatcher]\n{dispatcher}\n[celery]\n{celery}\n"
        (tmp_path / "config.ini").write_text(text, encoding="utf-8")
        return load_settings(tmp_path / "config.ini", {"HOME": "/nonexistent"})

    return make


@pytest.fixture(autouse=True)
def _same_current_app() -> Iterator[None]:
    before = get_current_app()
    yield
    before.set_current()
    before.set_default()


def shop(**options: Any) -> ShopApp:
    return ShopApp("shop", set_as_current=False, **{"broker": "memory://", "backend": "cache+memory://"} | options)


def test_application_keeps_its_identity_class_and_broker(settings: Any) -> None:
    app = shop()
    adopted = take_over(app, Container(settings))
    assert adopted is app
    assert isinstance(app, AdoptedApp)
    assert isinstance(app, ShopApp)
    assert app.conf.broker_url == "memory://"
    assert isinstance(app.backend, PeeweeBackend)
    assert app.task(add, shared=False).name == "shop.add"


@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize("namespace", [None, "CELERY"])
def test_settings_of_the_design_win_and_its_defaults_do_not(
    settings: Any, namespace: str | None, *, read_before: bool
) -> None:
    prefix = "CELERY_" if namespace else ""
    own = {
        "task_acks_late": False,
        "task_serializer": "pickle",
        "broker_connection_timeout": 17,
        "worker_prefetch_multiplier": 1,
        "task_default_queue": "orders",
        "worker_concurrency": 5,
        "task_reject_on_worker_lost": True,
        "worker_max_tasks_per_child": 9,
    }
    given = {(prefix + key).upper() if namespace else key: value for key, value in own.items()}
    app = shop()
    app.config_from_object(SimpleNamespace(**given), namespace=namespace)
    assert not read_before or app.conf.task_default_queue == "orders"
    take_over(app, Container(lambda: settings(celery="worker_concurrency = 3")))
    conf = app.conf
    assert (conf.task_acks_late, conf.task_serializer, conf.task_reject_on_worker_lost) == (True, "json", None)
    assert conf.worker_consumer == "pacifica.dispatcher.worker.job_consumer:JobConsumer"
    assert (conf.broker_connection_timeout, conf.worker_prefetch_multiplier) == (17, 1)
    assert (conf.task_default_queue, conf.task_queue_max_priority) == ("orders", None)
    assert conf.broker_connection_retry_on_startup is True
    assert (conf.worker_concurrency, conf.worker_max_tasks_per_child) == (3, 9)
    assert (app.asked["task_acks_late"], app.asked["task_serializer"]) == (False, "pickle")  # type: ignore[attr-defined]


def test_second_container_of_an_application_keeps_what_it_asked_for(settings: Any) -> None:
    app = shop()
    app.conf.update(task_acks_late=True, accept_content=["json", "pickle"], enable_utc=False)
    adopted = take_over(app, Container(settings))
    assert app.conf.enable_utc is True
    asked = dict(adopted.asked)
    assert (asked["enable_utc"], asked["accept_content"]) == (False, ["json", "pickle"])
    assert take_over(app, Container(settings)).asked == asked


def test_broker_of_the_configuration_wins_unless_it_is_the_default(settings: Any) -> None:
    for text, expected in (
        ("", "memory://"),
        ("broker_url = pyamqp://", "memory://"),
        ("broker_url = redis://h", "redis://h"),
    ):
        app = shop()
        take_over(app, Container(lambda text=text: settings(celery=text)))
        assert app.conf.broker_url == expected


@pytest.mark.parametrize("when", ["before", "evaluated", "finalized", "after"])
def test_every_task_is_adopted_whenever_it_was_declared(settings: Any, when: str) -> None:
    app = shop()
    container = Container(settings)
    if when == "after":
        container.app = take_over(app, container)
    task = app.task(add, shared=False)
    if when == "evaluated":
        assert task.name == "shop.add"
    if when == "finalized":
        app.finalize()
        assert not isinstance(app.tasks["celery.map"], CanvasTask)
    if when != "after":
        container.app = take_over(app, container)
    assert isinstance(app.tasks["shop.add"], AdoptedTask)
    assert task(1, 2) == 3
    assert "shop.add" in container.registry
    assert isinstance(app.tasks["celery.map"], CanvasTask)
    assert not isinstance(app.tasks["celery.chord_unlock"], AdoptedTask)


@pytest.mark.parametrize("when", ["before", "evaluated", "finalized", "after"])
@pytest.mark.parametrize("late", [False, True])
def test_tasks_have_the_options_of_the_applications_settings(settings: Any, when: str, late: bool) -> None:
    app = shop()
    app.conf.update(task_acks_late=late, task_ignore_result=True)
    for turn in range(2):
        task = app.task(report if turn else add, shared=False)
        if when == "evaluated":
            assert task.name.startswith("shop.")
        if when == "finalized":
            app.finalize()
        adopted = take_over(app, Container(settings))
        task = app.task(add, shared=False, name="shop.late") if when == "after" else task
        assert task.acks_late is True, "the dispatcher decides"
        assert task.dispatcher_asked == Asked(acks_late=late, ignore_result=True)
        assert (adopted.asked["task_acks_late"], adopted.asked["task_ignore_result"]) == (late, True)


def test_first_task_of_an_application_that_has_not_read_its_settings_has_their_options(settings: Any) -> None:
    app = shop()
    app.conf.update(task_acks_late=True)
    take_over(app, Container(settings))
    assert app.task(add, shared=False).dispatcher_asked.acks_late is True


@pytest.mark.parametrize("late", [False, True])
def test_plain_tasks_keep_what_their_application_asks_for(settings: Any, *, late: bool) -> None:
    app = shop()
    app.conf.update(task_acks_late=late, task_ignore_result=True, task_reject_on_worker_lost=True)
    take_over(app, Container(lambda: settings("adopt_only = shop.none")))
    own = app.task(report, shared=False, acks_late=not late)
    assert own.acks_late is not late
    for task in (
        app.task(add, shared=False),
        app.register_task(type("Report", (Task,), {"name": "billing.report", "run": staticmethod(report)})()),
    ):
        assert (task.acks_late, task.ignore_result, task.reject_on_worker_lost) == (late, True, True)
        assert task.serializer == "json"
    assert app.conf.task_publish_retry is True, "nothing else sends a plain task again"


def test_settings_of_the_design_win_over_a_later_change(settings: Any) -> None:
    app, container = shop(), Container(settings)
    container.app = take_over(app, container)
    assert app.conf.timezone is None, "the settings are read"
    app.conf.update(accept_content=["pickle"], task_serializer="pickle")
    assert "add" in container.registry
    assert (app.conf.accept_content, app.conf.task_serializer) == (["json"], "json")


def test_times_without_a_zone_are_in_that_of_the_application(settings: Any) -> None:
    app = shop()
    app.conf.update(timezone="America/New_York", enable_utc=False)
    assert str(take_over(app, Container(settings)).naive_zone) == "America/New_York"


def test_attribute_that_the_application_uses_itself_is_not_replaced(settings: Any) -> None:
    app = shop()
    app.container = "mine"
    with pytest.raises(ConfigError, match="the application has container of its own"):
        take_over(app, Container(settings))
    assert (type(app), app.container) == (ShopApp, "mine")


def test_name_of_a_module_that_is_not_imported_names_no_other_application() -> None:
    assert not is_named(shop(), ["no_such_module"])


def test_tasks_that_are_declared_later_are_in_the_registry(settings: Any) -> None:
    app, container = shop(), Container(settings)
    container.app = take_over(app, container)
    assert "shop.add" not in container.registry
    app.task(add, shared=False)
    app.register_task(type("Report", (Task,), {"name": "shop.report", "run": staticmethod(report)})())
    assert {"shop.add", "shop.report"} <= set(container.registry)


def test_adopt_only_leaves_other_tasks_plain(settings: Any) -> None:
    app = shop()
    container = Container(lambda: settings("adopt_only = shop.rep*"))
    app.task(add, shared=False)
    container.app = take_over(app, container)
    app.task(report, shared=False)
    assert [name for name in container.registry if name.startswith("shop.")] == ["shop.report"]
    assert not isinstance(app.tasks["shop.add"], AdoptedTask)


def test_task_of_the_application_has_its_name_before_a_built_in_one(settings: Any) -> None:
    app, container = shop(), Container(settings)
    app.task(report, name="sleep", shared=False)
    container.app = take_over(app, container)
    assert "day" in container.registry["sleep"].arguments_schema()["properties"]
    assert "add" in container.registry


def test_send_task_makes_a_job_of_a_known_task_and_sends_others_as_before(settings: Any) -> None:
    app = shop()
    container = Container(settings)
    with closing(container.database):
        container.app = take_over(app, container)
        app.task(add, shared=False)
        container.prepare()
        job = container.jobs.get(app.send_task("shop.add", (1, 2), queue="orders").id)
        assert job is not None
        assert (job.task, job.queue, list(job.args)) == ("shop.add", "orders", [1, 2])
        app.AsyncResult(job.uuid).forget()
        assert container.jobs.get(job.uuid) is not None
        other = app.send_task("billing.close", (1,))
        assert container.jobs.get(other.id) is None
        with app.connection_for_read() as connection:
            assert connection.SimpleQueue("celery").qsize() == 1


class ByName(Task):
    """Sends its tasks by name, such as for a check or a header of its own."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        return self.app.send_task(self.name, args, kwargs, queue="orders", **options)


def test_apply_async_of_a_base_class_may_send_the_task_by_its_name(settings: Any) -> None:
    app, container = shop(), Container(settings)
    with closing(container.database):
        container.app = take_over(app, container)
        task = app.task(add, base=ByName, shared=False)
        container.prepare()
        for result in (task.delay(1, 2), app.send_task("shop.add", (1, 2), queue="orders")):
            job = container.jobs.get(result.id)
            assert job is not None
            assert (job.queue, list(job.args)) == ("orders", [1, 2])


def test_exchange_and_routing_key_of_a_call_choose_the_queue(settings: Any) -> None:
    app, container = shop(), Container(settings)
    topic = Exchange("bulk", type="topic")
    news = Queue("news", Exchange("news", type="fanout"))
    app.conf.task_queues = [Queue("celery"), Queue("bulk", topic, routing_key="bulk.#"), news]
    with closing(container.database):
        container.app = take_over(app, container)
        task = app.task(add, shared=False)
        container.prepare()
        for exchange, key, queue in (("bulk", "bulk.eu", "bulk"), (topic, "bulk.#", "bulk"), ("news", None, "news")):
            job = container.jobs.get(task.apply_async((1, 2), exchange=exchange, routing_key=key).id)
            assert job is not None
            assert job.target_queue == queue
        with pytest.raises(ValueError, match="no queue of task_queues has exchange 'bulk' and routing key 'other'"):
            task.apply_async((1, 2), exchange="bulk", routing_key="other")


def test_several_applications_join_the_first(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = shop(), Celery("billing", set_as_current=False, broker="memory://nowhere")
    first.conf.task_routes = {"shop.add": {"queue": "sums"}}
    second.conf.task_default_queue = "bills"
    second.conf.task_routes = {"billing.close": "monthly"}
    first.task(add, shared=False)
    second.task(report, name="billing.report", shared=False)
    second.task(report, name="billing.close", shared=False)
    container = Container(lambda: settings("adopt = test_shop:app, test_billing:app"))
    modules = {name: ModuleType(name) for name in ("test_shop", "test_billing")}
    vars(modules["test_shop"])["app"], vars(modules["test_billing"])["app"] = first, second
    (tmp_path / "config.ini").write_text("[dispatcher]\nadopt = test_shop:app, test_billing:app\n")
    monkeypatch.setenv("DISPATCHER_CONFIG", str(tmp_path / "config.ini"))  # As for the plugin of Celery's command line.
    with patch.dict(sys.modules, modules), closing(container.database):
        assert container.app is first  # type: ignore[comparison-overlap]
        assert {"shop.add", "billing.report", "billing.close"} <= set(container.registry)
        assert {"celery", "bills"} <= set(container.app.amqp.queues), "a worker consumes the queues of both"
        container.prepare()
        queues = {
            name: container.jobs.get(container.app.tasks[name].apply_async(args).id)
            for name, args in (("shop.add", (1, 2)), ("billing.report", ("x",)), ("billing.close", ("x",)))
        }
        assert {name: job and job.target_queue for name, job in queues.items()} == {
            "shop.add": "sums",
            "billing.report": "bills",
            "billing.close": "monthly",
        }
        assert second.tasks["billing.report"].app is first
        assert type(second) is Celery, "one application of a process is the dispatcher's"


def test_adopt_reads_the_configuration_at_once(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_CONFIG", str(tmp_path / "absent.ini"))
    app = shop()
    with pytest.raises(ConfigError, match=r"absent\.ini"):
        adopt(app)
    assert type(app) is ShopApp
    settings()
    monkeypatch.setenv("DISPATCHER_CONFIG", str(tmp_path / "config.ini"))
    assert adopt(app) is app
    app.task(add, shared=False)
    with pytest.raises(UnknownTask):
        app.container.registry["shop.other"]  # type: ignore[attr-defined]


def test_process_of_the_dispatcher_takes_an_application_that_calls_adopt(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = settings("adopt = test_shop:app")
    monkeypatch.setenv("DISPATCHER_CONFIG", str(tmp_path / "config.ini"))
    app = shop()
    adopt(app)
    app.task(add, shared=False)
    container = Container(lambda: made)
    with patch.dict(sys.modules, {"test_shop": ModuleType("test_shop")}):
        vars(sys.modules["test_shop"])["app"] = app
        assert container.app is app  # type: ignore[comparison-overlap]
    assert app.container is container  # type: ignore[attr-defined]
    assert "shop.add" in container.registry
    assert get_current_app() is app


def test_application_that_cannot_be_imported_costs_its_own_tasks(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "test_broken_shop.py").write_text("x = 1\nfrom math import nothing\n", encoding="utf-8")
    unread = (
        "from celery import Celery\napp = Celery(set_as_current=False)\napp.config_from_object('test_no_settings')\n"
    )
    (tmp_path / "test_unread_shop.py").write_text(unread, encoding="utf-8")
    names = "adopt = test_broken_shop:app, test_absent:app, math:pi, math:nothing, math, test_unread_shop"
    container = Container(lambda: settings(names, "broker_url = memory://"))
    with patch.object(sys, "path", [str(tmp_path), *sys.path]):
        assert type(container.app) is DispatcherApp
        assert "add" in container.registry
    broken, absent, *wrong, unread = map(str, container.app.missing)
    assert "test_broken_shop.py:2: ImportError: cannot import name 'nothing'" in broken
    assert "there is no module test_absent" in absent
    assert [text.partition("name: ")[2].partition(".")[0] for text in wrong] == [
        "pi in math is not one",
        "math has no nothing",
        "math has no app",
    ]
    assert "cannot be read: ModuleNotFoundError: No module named 'test_no_settings'" in unread
    with pytest.raises(ConfigError, match="math:pi"):  # Its broker is not known.
        _ = Container(lambda: settings("adopt = math:pi")).app


def test_application_of_two_names_is_adopted_once(settings: Any) -> None:
    first, other = shop(), shop()
    members = {"first": first, "again": first, "other": other, "same": other}
    with patch.dict(sys.modules, {"test_two_names": ModuleType("test_two_names")}):
        vars(sys.modules["test_two_names"]).update(members)
        names = ", ".join(f"test_two_names:{name}" for name in members)
        app = Container(lambda: settings(f"adopt = {names}")).app
    assert app is first  # type: ignore[comparison-overlap]
    assert app.joined == [other]  # type: ignore[attr-defined]


def test_broken_settings_of_django_cost_the_tasks_of_their_application(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test_django_settings.py").write_text("import no_such_package\n", encoding="utf-8")
    (tmp_path / "test_django_shop.py").write_text(
        "from celery import Celery\n"
        "app = Celery(set_as_current=False)\n"
        "app.config_from_object('django.conf:settings', namespace='CELERY')\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "test_django_settings")
    monkeypatch.syspath_prepend(tmp_path)
    container = Container(lambda: settings("adopt = test_django_shop:app", "broker_url = memory://"))
    assert "add" in container.registry
    (fault,) = container.app.missing
    assert "test_django_settings.py:1: ModuleNotFoundError: No module named 'no_such_package'" in str(fault)


def test_module_that_cannot_be_imported_costs_its_own_tasks(settings: Any, tmp_path: Path) -> None:
    package = tmp_path / "test_shop_modules"
    (package / "found").mkdir(parents=True)
    (package / "lost").mkdir()
    for name, text in {
        "__init__.py": "",
        "celery.py": (
            "from celery import Celery\n"
            "names = ['test_shop_modules.good', 'test_shop_modules.bad']\n"
            "app = Celery('m', set_as_current=False, broker='memory://', include=names)\n"
            "app.autodiscover_tasks(['test_shop_modules.lost', 'test_shop_modules.found'])\n"
        ),
        "good.py": "from .celery import app\n@app.task(shared=False)\ndef one(): ...\n",
        "bad.py": "import no_such_package\n",
        "found/__init__.py": "",
        "found/tasks.py": "from ..celery import app\n@app.task(shared=False)\ndef two(): ...\n",
        "lost/__init__.py": "",
        "lost/tasks.py": "1 / 0\n",
    }.items():
        (package / name).write_text(text, encoding="utf-8")
    container = Container(lambda: settings("adopt = test_shop_modules"))
    with patch.object(sys, "path", [str(tmp_path), *sys.path]):
        names = [name for name in container.registry if name.startswith("test_shop")]
    assert names == ["test_shop_modules.found.tasks.two", "test_shop_modules.good.one"]
    missing = sorted(map(str, container.app.missing))
    assert len(missing) == 2
    assert missing[0].startswith("module test_shop_modules.bad: ")
    assert "bad.py:1: ModuleNotFoundError" in missing[0]
    assert "lost/tasks.py:1: ZeroDivisionError" in missing[1]
    assert isinstance(container.app.loader, TolerantLoader)


def test_run_of_beats_schedule_is_a_job(settings: Any) -> None:
    app = shop()
    app.task(add, shared=False)
    app.conf.beat_schedule = {"nightly": {"task": "shop.add", "schedule": 60, "args": (1, 2)}}
    made = settings()
    container = Container(lambda: made)
    container.app = take_over(app, container, imports=True)
    with closing(container.database):
        container.prepare()
        scheduler = Scheduler(app, lazy=True)
        scheduler.setup_schedule()
        sent = scheduler.apply_async(scheduler.schedule["nightly"], advance=False)
        job = container.jobs.get(sent.id)
    assert job is not None
    assert (job.task, job.args) == ("shop.add", [1, 2])
