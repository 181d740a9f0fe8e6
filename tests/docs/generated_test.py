"""The pages that are made from the code are those that the code makes now."""

import os
import re

import pytest

from .generated import DOCS, PAGES, VARIABLES

PACKAGE = DOCS.parent / "pacifica"
FOR_TESTS = ["DISPATCHER_FAILPOINTS"]


@pytest.mark.parametrize("file", PAGES)
def test_a_page_is_current(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name in VARIABLES]:
        monkeypatch.delenv(name)
    assert (DOCS / file).read_text(encoding="utf-8") == PAGES[file](), f"docs/{file} is out of date: run `make docs`"


def test_every_variable_that_is_read_is_on_the_page() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    assert set(re.findall(r'["$](DISPATCHER_[A-Z]+|[A-Z]+_URL)\b', text)) <= {*VARIABLES, *FOR_TESTS}
