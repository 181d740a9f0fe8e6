"""The list of jobs: found by their error, run again, read page by page, and followed without rows that jump."""

import os
from collections.abc import Callable

from playwright.sync_api import Page, expect

from pacifica.dispatcher.core.job import State

from ..eventually import eventually
from .chromium import Visit, serious
from .site import Site, ended

Open = Callable[..., Visit]
MANY, EACH = int(os.environ.get("BROWSER_JOBS", "600")), 200
"""The jobs that are paged through, and those of a page; BROWSER_JOBS=10000 takes a minute."""

LONG = "laboratory.instruments.spectrometers.calibration.weigh_the_sample"


def shown(page: Page) -> list[str]:
    """The ids of the rows, from the top."""
    ids: list[str] = page.locator("[data-row]").evaluate_all("(rows) => rows.map((row) => row.id)")
    return ids


def test_failed_job_is_found_by_its_error_and_run_again(visit: Open, site: Site) -> None:
    failed = site.stack.dispatch("say", "!valve 17 is blocked")
    site.stack.ended(failed)
    page = visit().open("/ui/jobs")
    page.get_by_label("Error", exact=True).fill("VALVE 17")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("[data-row]")).to_have_count(1)
    expect(page.locator(f"#job-{failed}")).to_contain_text("valve 17 is blocked")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.get_by_role("button", name="Run again").click()
    assert serious(page) == []
    page.get_by_role("button", name="Run 1 job again").click()
    expect(page.get_by_text("1 dispatched again")).to_be_visible()
    eventually(lambda: page.reload() is not None and len(shown(page)) == 2)


def test_many_jobs_are_read_page_by_page(visit: Open, site: Site) -> None:
    tasks = [LONG, *["weigh"] * (MANY - 1)]
    jobs = [ended(task, State.SUCCESS, age=n, result=n, labels={"part": "paging"}) for n, task in enumerate(tasks)]
    site.add(*jobs)
    page = visit().open(f"/ui/jobs?label=part:paging&limit={EACH}")
    seen = shown(page)
    ends = "(cell) => [cell, cell.firstElementChild].map((one) => one.getBoundingClientRect().right)"
    cell_end, name_end = page.locator("[data-row] td.task").first.evaluate(ends)
    assert name_end <= cell_end, "the end of a long name cannot be seen"
    page.locator("[data-row]").last.scroll_into_view_if_needed()
    expect(page.get_by_role("columnheader", name="Run time")).to_be_in_viewport(ratio=1)
    for _ in range(MANY // EACH - 1):
        page.get_by_role("link", name="Older").click()
        page.wait_for_function("(id) => !document.getElementById(id)", arg=seen[-1])
        page.wait_for_load_state("load")
        seen += shown(page)
    expect(page.get_by_role("link", name="Older")).to_have_count(0)
    assert seen == [f"job-{job.uuid}" for job in sorted(jobs, key=lambda job: (job.created, job.uuid), reverse=True)]


def test_rows_change_in_place_and_new_jobs_wait_above(visit: Open, site: Site) -> None:
    running = site.stack.dispatch("heat", "row")
    page = visit().open("/ui/jobs")
    expect(page.locator("#connection")).to_have_text("live")
    before = shown(page)
    row = page.locator(f"#job-{running}")
    expect(row).to_contain_text("started")
    site.go_on("row", 1, 2, 3)
    expect(row).to_contain_text("success")
    expect(row).to_contain_text("hot")
    new = site.stack.dispatch("say", "a new one")
    expect(page.get_by_text("1 new job")).to_be_visible()
    assert shown(page) == before
    page.get_by_text("1 new job").click()
    expect(page.locator(f"#job-{new}")).to_be_visible()
