"""The frame of every page: keys, light and dark, each width, no fault for a screen reader, and little weight."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from .chromium import NARROW, WIDE, Visit

Open = Callable[..., Visit]
PAGES = ("/", "/ui/sign-in", "/ui/nothing")


def serious(page: Page) -> list[str]:
    """The serious and critical findings of axe-core."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("path", PAGES)
def test_page_fits_and_can_be_read_by_everyone(visit: Open, path: str) -> None:
    visited = visit()
    visited.expected = "status of 404" if path == "/ui/nothing" else ""
    page = visited.open(path)
    for size in (WIDE, NARROW):
        page.set_viewport_size(size)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], (path, size, scheme)
            if size is WIDE:
                assert serious(page) == [], (path, scheme)


def test_keys_are_listed_and_the_search_is_one_key_away(visit: Open) -> None:
    page = visit().open("/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
