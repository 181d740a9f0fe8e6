"""The page of a job follows it without being loaded again, and acts on it."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from pacifica.dispatcher.core.job import State

from .chromium import Visit, serious
from .site import EVIL, Site, ended, evil_jobs

Open = Callable[..., Visit]
WITHOUT_HTTPS = """
    const clipboard = navigator.clipboard;
    window.pasted = () => clipboard.readText();
    Object.defineProperty(navigator, 'clipboard', { value: undefined });"""
"""As over plain HTTP; ``pasted`` returns the text that was copied."""


def open_job(visited: Visit, uuid: str) -> Page:
    """Open the page of a job, and mark the document, so that a test sees whether it was loaded again."""
    page = visited.open(f"/ui/jobs/{uuid}")
    page.evaluate("document.documentElement.dataset.first = 'yes'")
    return page


def state(page: Page) -> Locator:
    return page.locator(".headline .state")


def is_the_same(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.dataset.first === 'yes'"))


def test_progress_bar_moves_and_the_result_appears(visit: Open, site: Site) -> None:
    page = open_job(visit(), site.stack.dispatch("heat", "bar"))
    bar = page.get_by_role("progressbar", name="Progress")
    for step in (1, 2, 3):
        expect(bar).to_have_attribute("value", str(step * 25))
        expect(page).to_have_title(re.compile(f"{step * 25} %"))
        site.go_on("bar", step)
    expect(state(page)).to_contain_text("success")
    expect(page.get_by_label("Outcome")).to_contain_text("hot")
    assert is_the_same(page)


def test_running_job_is_cancelled(visit: Open, site: Site) -> None:
    page = visit().open(f"/ui/jobs/{site.stack.dispatch('heat', 'cancelled')}")
    expect(state(page)).to_contain_text("started")
    assert serious(page) == []
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("main")).to_contain_text("has run for")
    assert serious(page) == []
    page.get_by_role("button", name="Cancel the job").click()
    expect(state(page)).to_contain_text("revoked")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_failed_job_is_run_again(visit: Open, site: Site) -> None:
    failed = site.stack.dispatch("calibrate", "scale 7")
    page = open_job(visit(), failed)
    expect(state(page)).to_contain_text("failure")
    expect(page.get_by_label("Outcome")).to_contain_text("the drift of scale 7 is 0.7 mK")
    page.get_by_role("button", name="Retry", exact=True).click()
    page.wait_for_url(lambda url: failed not in url)
    expect(state(page)).to_contain_text("failure")
    expect(page.get_by_label("Facts")).to_contain_text(failed)


@pytest.mark.parametrize("number", range(3))
def test_markup_of_callers_stays_text(visit: Open, site: Site, number: int) -> None:
    job = evil_jobs()[number]
    site.add(job)
    page = visit().open(f"/ui/jobs/{job.uuid}")
    expect(page.get_by_role("main")).to_contain_text(EVIL[:40])
    assert page.title() != "owned"
    assert page.locator("main script, main img").count() == 0


def test_all_of_a_tree_is_unfolded_and_folded(visit: Open, site: Site) -> None:
    job = ended("echo", State.SUCCESS, result={"a": {"b": {"c": [{"d": "x" * 90}]}}})
    site.add(job)
    page = visit().open(f"/ui/jobs/{job.uuid}")
    button, deepest = page.locator("#result-unfold"), page.get_by_label("Outcome").get_by_text("x" * 90).first
    expect(deepest).to_be_hidden()
    button.click()
    expect(deepest).to_be_visible()
    expect(button).to_have_text("Fold all", use_inner_text=True)
    button.click()
    expect(deepest).to_be_hidden()


def test_texts_are_copied_also_without_https(visit: Open, site: Site) -> None:
    job = ended("calibrate", State.SUCCESS, args=["copied"], labels={"part": "copies"})
    site.add(job)
    visited = visit(permissions=["clipboard-read"])
    visited.page.add_init_script(WITHOUT_HTTPS)
    for path, text in (
        (f"/ui/jobs/{job.uuid}", job.uuid),
        ("/ui/tasks/calibrate", visited.open("/ui/tasks/calibrate").locator("#line-curl").text_content()),
        ("/ui/jobs?label=part:copies", job.uuid),
    ):
        page = visited.open(path)
        page.locator(".copy").first.evaluate("(button) => button.scrollIntoView()")
        page.locator("[data-row]").or_(page.locator("main")).last.hover()
        page.locator(".copy").first.click()
        expect(page.locator(".copy").first).to_have_text("Copied")
        assert page.evaluate("pasted()") == text, path
