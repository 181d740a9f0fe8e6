"""A page that follows the jobs, and a server that stops; a server below a prefix; a browser without JavaScript."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from .chromium import NARROW, Visit
from .site import Site

Open = Callable[..., Visit]
TARGETS = """[...document.querySelectorAll('[href], [src], [action]')].map(
    (each) => each.getAttribute('href') ?? each.getAttribute('src') ?? each.getAttribute('action'))"""
FOREIGN = re.compile(r"^(?!/lab/jobs(/|$)|#|data:)")


def test_stopped_server_is_shown_and_found_again(visit: Open, site: Site) -> None:
    visited = visit("watched")
    visited.expected = "ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE"
    connection = visited.open("/").locator("#connection")
    expect(connection).to_have_text("live")
    site.servers["watched"].kill()
    expect(connection).to_have_text(re.compile(r"^disconnected since [\d:]+, trying again$"))
    assert "grayscale" in visited.page.locator("main").evaluate("(main) => getComputedStyle(main).filter")
    site.start_again("watched")
    expect(connection).to_have_text("live")
    assert visited.page.locator("main").evaluate("(main) => getComputedStyle(main).filter") == "none"


def sign_in(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def test_too_small_a_scope_is_refused_and_another_token_is_taken(visit: Open, site: Site) -> None:
    visited = visit("prefixed")
    visited.expected = "status of 40[13]"
    page = visited.open("/ui/jobs?state=FAILURE")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    sign_in(page, "pd_" + "x" * 43)
    expect(page.get_by_role("main")).to_contain_text("The token is unknown, expired or revoked")
    sign_in(page, site.token("small", "cancel"))
    expect(page.get_by_role("main")).to_contain_text("This needs the scope read")
    sign_in(page, site.token("large" * 20, "read"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs: failure")
    assert page.url.endswith("/lab/jobs/ui/jobs?state=FAILURE")
    expect(page.get_by_text("token:large", exact=False)).to_be_visible()
    expect(page.locator("#connection")).to_have_text("live")  # The event stream takes the cookie, too.
    page.set_viewport_size(NARROW)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_every_link_and_file_has_the_prefix(visit: Open, site: Site) -> None:
    visited = visit("prefixed")
    requested: list[str] = []
    visited.page.on("request", lambda request: requested.append(request.url))
    page = visited.open("/ui/sign-in")
    sign_in(page, site.token("prefix", "admin"))
    page.wait_for_url("**/lab/jobs/")
    for path in site.pages.values():
        visited.open(path)
        targets = page.evaluate(TARGETS)
        assert len(targets) > 5
        assert not [target for target in targets if FOREIGN.match(target)], path
    assert any(each.endswith("/events") for each in requested)
    assert all(each.startswith(site.url("prefixed")) for each in requested)
