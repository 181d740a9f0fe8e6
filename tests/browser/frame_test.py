"""The frame of every page: keys, light and dark, each width, no fault for a screen reader, and little weight."""

from collections.abc import Callable

import pytest
from playwright.sync_api import ViewportSize, expect

from .chromium import MIDDLE, WIDE, Visit, serious
from .site import Site

Open = Callable[..., Visit]
PAGES = ("overview", "jobs", "found", "tasks", "task", "failed", "listed", "records", "evil")
OTHERS = {"sign in": "/ui/sign-in", "nothing": "/ui/nothing"}
SMALLEST: ViewportSize = {"width": 320, "height": 640}
"""So much must fit without scrolling sideways (WCAG 2.2, 1.4.10)."""
MOST_BYTES = 150_000
WIDER = "[...document.querySelectorAll('main *')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1)"
MUCH = """() => {
    const [failures, workers] = [...document.querySelectorAll('.failures tbody, .workers tbody')].reverse();
    failures.querySelector('a').textContent = 'a long message '.repeat(40);
    while (failures.rows.length < 8) failures.append(failures.rows[0].cloneNode(true));
    while (workers.rows.length < 6) workers.append(workers.rows[0].cloneNode(true));
    const fault = '<li><p>No worker has the task weigh.</p><p class="next">Start one that has it.</p></li>';
    document.querySelector('.concerns')?.remove();
    document.getElementById('headline').insertAdjacentHTML('afterend', `<ul class="concerns">${fault}${fault}</ul>`);
    return document.documentElement.scrollHeight;
}"""
"""Shows eight long errors, six workers and two faults, and returns the height of the page."""
WEIGHT = """[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
    .reduce((sum, one) => sum + one.encodedBodySize, 0)"""


@pytest.mark.parametrize("name", [*PAGES, *OTHERS])
def test_page_is_light_and_everyone_can_read_it(visit: Open, site: Site, name: str) -> None:
    visited = visit()
    visited.expected = "status of 404" if name == "nothing" else ""
    page = visited.open(OTHERS.get(name) or site.pages[name])
    assert 1000 < page.evaluate(WEIGHT) < MOST_BYTES
    for size in (WIDE, MIDDLE, SMALLEST):
        page.set_viewport_size(size)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size["width"], page.evaluate(f"{WIDER}.slice(0, 5).map((one) => one.outerHTML.slice(0, 200))")
    page.set_viewport_size(WIDE)
    assert serious(page) == []
    page.emulate_media(color_scheme="dark")
    assert serious(page, "color-contrast") == []  # Nothing else differs in the dark.


def test_overview_fits_a_screen_on_the_wall(visit: Open, site: Site) -> None:
    page = visit(viewport={"width": 1920, "height": 1080}).open(site.pages["overview"])
    for table in (".failures", ".workers"):
        expect(page.locator(f"{table} tbody tr").first).to_be_visible()
    assert page.evaluate(MUCH) <= 1080


def test_keys_are_listed_and_the_search_is_one_key_away(visit: Open) -> None:
    page = visit().open("/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Find a job")).to_be_focused()


def test_keys_and_clicks_move_along_the_rows_and_open_one(visit: Open, site: Site) -> None:
    page = visit().open(site.pages["jobs"])
    rows = page.locator("[data-row]")
    for key, row in (("j", 0), ("j", 1), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        expect(rows.nth(row)).to_contain_class("current")
    expect(page.locator("[data-row].current")).to_have_count(1)
    job = rows.nth(1).get_attribute("id")
    assert job is not None
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/ui/jobs/{job.removeprefix('job-')}")
    page.go_back()
    rows.nth(2).locator(".call").click()
    page.wait_for_url("**/ui/jobs/*")
    page.keyboard.press("g")
    page.keyboard.press("o")
    page.wait_for_url(site.url() + "/")


def test_every_page_works_without_javascript(visit: Open, site: Site) -> None:
    visited = visit(java_script_enabled=False)
    for name in PAGES:
        page = visited.open(site.pages[name])
        expect(page.locator("h1")).to_have_count(1)
        assert len(page.locator("main").inner_text()) > 40, name
    page.get_by_role("button", name="Retry", exact=True).click()
    page.wait_for_url(lambda url: site.pages["evil"] not in url)
    expect(page.locator("main")).to_contain_text("Retry of")


def test_read_only_pages_show_no_action(visit: Open, site: Site) -> None:
    visited = visit("watched")
    for name in PAGES:
        page = visited.open(site.pages[name])
        assert page.locator("form[method=post] button:not([type=button]):enabled").count() == 0, name
    visited.expected = "status of 403"
    post = "(path) => fetch(path, {method: 'POST'}).then((answer) => answer.status)"
    assert page.evaluate(post, f"{site.pages['evil']}/retry") == 403
