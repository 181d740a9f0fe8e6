"""Schemathesis finds nothing: a short form of ``make fuzz``, which always asks the same."""

from pathlib import Path

import pytest

from .fuzz import ask, service

SEED, EXAMPLES, SECONDS = 17, 4, 15


@pytest.mark.parametrize("anonymous", ["loopback", "none"])
def test_schemathesis_finds_nothing(tmp_path: Path, anonymous: str) -> None:
    with service(tmp_path, anonymous=anonymous) as (web, token):
        bounds = ("--seed", str(SEED), "--max-examples", str(EXAMPLES), "--max-time", str(SECONDS))
        run = ask(web.url, tmp_path, *bounds, token=token if anonymous == "none" else "")
    assert run.status == 0, run.output
    assert run.report["failures"] == run.report["errors"] == []
    operations = run.report["operations"]
    assert operations["tested"] == operations["total"] > 30
    assert len(run.answers) >= operations["total"], "each was answered, and methods that are none, too"
    assert run.report["phases"]["stateful"]["status"] == "success"
