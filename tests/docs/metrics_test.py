"""The page of metrics names each metric with its labels, and its alerts use no others."""

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from pacifica.dispatcher.monitoring.metrics.instruments import PREFIX
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.event_counts import EventCountStore
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.upkeep.event_counter import EventCounter

from ..monitoring.web_monitors import a_web_monitor
from ..store.conftest import a_job
from ..store.job_steps import claim, succeed

PAGE = (Path(__file__).parent.parent.parent / "docs" / "metrics.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \|([^|]*)\|", PAGE, re.MULTILINE)


def alerts() -> list[dict[str, Any]]:
    """The alerts of the page."""
    block = re.search(r"^```yaml\n(groups:.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert block is not None
    return [rule for group in yaml.safe_load(block[1])["groups"] for rule in group["rules"]]


@pytest.fixture
def families(sqlite_url: str) -> dict[str, Metric]:
    """All metrics of a service in which everything was counted once, by name without the prefix."""
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        jobs, monitor = JobStore(database), a_web_monitor(database)
        waiting, ended = a_job(), a_job()
        jobs.add([waiting, ended])
        claim(jobs, ended, "t")
        succeed(jobs, ended, "t")
        EventCounter(EventCountStore(database)).work(float("inf"))
        monitor.counts.request("/tasks", "GET", "200", 0.1)
        monitor.counts.unread(400)
        monitor.counts.dispatched("add", "accepted")
        monitor.counts.database_failed("locked")
        found = list(text_string_to_metric_families(monitor.as_text().decode()))
    return {family.name.removeprefix(f"{PREFIX}_"): family for family in found if not family.name.endswith("_created")}


def documented_name(family: Metric, name: str) -> str:
    """The name in Prometheus."""
    return f"{name}_total" if family.type == "counter" else name


def test_the_table_has_each_metric_with_its_labels(families: dict[str, Metric]) -> None:
    documented = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in ROWS}
    found = {
        documented_name(family, name): {label for sample in family.samples for label in sample.labels} - {"le"}
        for name, family in families.items()
    }
    assert found == documented
    assert len(ROWS) == len(documented)
    assert all(family.samples for family in families.values())


def test_help_texts_and_names_follow_the_conventions_of_prometheus(families: dict[str, Metric]) -> None:
    for name, family in families.items():
        assert re.fullmatch(r"[A-Z][^\n]*[.1]", family.documentation), name
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)


def test_the_alerts_use_existing_metrics_and_labels(families: dict[str, Metric]) -> None:
    samples = {sample.name: set(sample.labels) for family in families.values() for sample in family.samples}
    rules = " ".join(each["expr"] for each in alerts())
    used = re.findall(rf"({PREFIX}_\w+)(?:{{(\w+)=)?", rules)
    assert len(used) > 8
    for name, label in used:
        assert name in samples, name
        assert not label or label in samples[name], (name, label)


def test_each_alert_has_a_severity_and_a_summary_with_its_own_labels() -> None:
    assert len(alerts()) > 8
    for alert in alerts():
        assert alert["labels"]["severity"] in {"critical", "warning"}, alert
        assert alert["annotations"].keys() == {"summary", "description"}
        for label in re.findall(r"\$labels\.(\w+)", str(alert["annotations"])):
            assert f"by ({label})" in alert["expr"], alert
