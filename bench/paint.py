"""How long a person waits for a page: the time until Chromium shows its first content."""

import shutil
from statistics import median

from playwright.sync_api import Browser, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
FIRST = "performance.getEntriesByName('first-contentful-paint').map((entry) => entry.startTime)[0]"


def first_paint(url: str, times: int) -> float | None:
    """Return the median of so many visits with an empty cache, in milliseconds, after one that does not count.

    ``None`` if there is no Chromium.
    """
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            return median([_visit(browser, url) for _ in range(times + 1)][1:])
        finally:
            browser.close()


def _visit(browser: Browser, url: str) -> float:
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(url, wait_until="load")
        page.wait_for_function(f"{FIRST} !== undefined")
        return float(page.evaluate(FIRST))
    finally:
        context.close()
