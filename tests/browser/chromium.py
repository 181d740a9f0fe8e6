"""Drives Debian's Chromium through Playwright, and collects what goes wrong in its pages."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions")
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 15_000
"""Milliseconds in which a page must show what is expected; other tests may keep the cores busy."""
WIDE, MIDDLE, NARROW = ({"width": width, "height": height} for width, height in ((1280, 900), (768, 900), (360, 780)))


def find_chromium() -> str:
    """Return the program; skips the test if it is missing, and fails it in CI."""
    found = os.environ.get("TEST_CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        reason = "no Chromium in PATH (on Debian: apt-get install chromium); TEST_CHROMIUM names another"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason} (CI=true: nothing may be skipped)", pytrace=False)
        pytest.skip(reason)
    return found


def launch(playwright: Playwright, program: str) -> Browser:
    """Start the browser without a window; it reaches no other machine."""
    return playwright.chromium.launch(
        executable_path=program, args=[*FLAGS, "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    )


@dataclass
class Visit:
    """A page of a fresh profile, and the ``problems`` in it: errors of scripts, of the policy, of the network."""

    page: Page
    url: str
    problems: list[str] = field(default_factory=list)
    expected: str = ""
    """A pattern of the problems that the test causes."""

    def open(self, path: str) -> Page:
        """Open a path of the service."""
        self.page.goto(f"{self.url}{path}", wait_until="load")
        return self.page

    def note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def unexpected(self) -> list[str]:
        """Return the problems that the test does not expect."""
        return [one for one in self.problems if not (self.expected and re.search(self.expected, one))]


@contextmanager
def visiting(browser: Browser, url: str, **options: Any) -> Iterator[Visit]:
    """Open a fresh profile; the test fails if anything goes wrong in its pages."""
    place = {"locale": "en-GB", "timezone_id": "Europe/Berlin"}
    settings: dict[str, Any] = {"viewport": WIDE, "reduced_motion": "reduce", **place, **options}
    context = browser.new_context(**settings)
    try:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        visit = Visit(page, url)
        page.on("console", visit.note)
        page.on("pageerror", lambda error: visit.problems.append(f"exception: {error}"))
        page.on("dialog", lambda dialog: (visit.problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        yield visit
        assert not visit.unexpected()
    finally:
        context.close()


def serious(page: Page, *rules: str) -> list[str]:
    """The serious and critical findings of axe-core, by all rules or by these."""
    options = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]
