"""A missing browser skips these tests with one reason, and fails them in CI; a fault in a page fails its test."""

from collections.abc import Callable

import pytest

from .chromium import Visit, find_chromium


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_missing_browser_is_a_skip_and_in_ci_a_failure(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("TEST_CHROMIUM", raising=False)
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no Chromium in PATH"):
        find_chromium()


def test_faults_in_a_page_are_collected(visit: Callable[..., Visit]) -> None:
    visited = visit()
    page = visited.open("/ui/sign-in")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\" onclick=\"1\">')")
    page.evaluate("setTimeout(() => { throw new Error('a fault') })")
    page.evaluate("console.error('another')")
    page.wait_for_timeout(50)
    found = " ".join(visited.problems)
    assert all(part in found for part in ("Content Security Policy", "a fault", "another")), found
    visited.problems.clear()
    page.evaluate("alert('a third')")
    assert visited.problems == ["dialog: a third"]
    visited.problems.clear()
