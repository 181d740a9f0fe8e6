"""The form of a task starts a job, and says what is wrong with its values; also without JavaScript."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from .chromium import Visit, serious

Open = Callable[..., Visit]


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_sum_is_started_and_seen_without_loading_again(visit: Open, script: bool) -> None:
    page = visit(java_script_enabled=script).open("/ui/tasks")
    page.get_by_role("link", name="add", exact=True).click()
    page.get_by_label(re.compile(r"^x\b")).fill("2")
    page.get_by_label(re.compile(r"^y\b")).fill("2")
    if script:
        expect(page.locator("#line-curl")).to_contain_text(re.compile(r"2,\s*2|\"x\": *2"))
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/ui/jobs/*")
    if not script:
        page.wait_for_timeout(300)
        page.reload()
    expect(page.locator(".headline .state")).to_contain_text("success")
    expect(page.get_by_label("Outcome")).to_contain_text("4")


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_values_that_do_not_fit_are_kept_and_explained(visit: Open, script: bool) -> None:
    visited = visit(java_script_enabled=script)
    visited.expected = "status of 422"
    page = visited.open("/ui/tasks/add")
    page.get_by_label(re.compile(r"^x\b")).fill("2")
    page.get_by_label(re.compile(r"^y\b")).fill("two")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("No job was started")
    expect(page.get_by_role("alert")).to_contain_text("x and y must both be numbers, or both be text")
    expect(page.get_by_label(re.compile(r"^y\b"))).to_have_value("two")
    assert not script or serious(page) == []
