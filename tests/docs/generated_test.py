"""The generated files are up to date."""

import os
import re

import pytest

from .generated import PAGES, ROOT, VARIABLES

PACKAGE = ROOT / "pacifica"
FOR_TESTS = ["DISPATCHER_FAILPOINTS"]


@pytest.mark.parametrize("file", PAGES)
def test_generated_file_is_up_to_date(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name in VARIABLES]:
        monkeypatch.delenv(name)
    assert (ROOT / file).read_text(encoding="utf-8") == PAGES[file](), f"{file} is out of date: run `make docs`"


def test_every_environment_variable_that_is_read_is_documented() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    assert set(re.findall(r'["$](DISPATCHER_[A-Z]+|[A-Z]+_URL)\b', text)) <= {*VARIABLES, *FOR_TESTS}
