"""docs/adopt.md and docs/from-flower.md: their settings and requests are those of the service."""

import re
from pathlib import Path

from pacifica.dispatcher import rest
from pacifica.dispatcher.config.celery_settings import CelerySettings
from pacifica.dispatcher.config.parser import parse
from pacifica.dispatcher.web import ops_routes
from pacifica.dispatcher.worker.adopted_task import FRONT

DOCS = Path(__file__).parent.parent.parent / "docs"
ADOPT = (DOCS / "adopt.md").read_text(encoding="utf-8")
FLOWER = (DOCS / "from-flower.md").read_text(encoding="utf-8")


def test_the_settings_of_the_page_are_valid() -> None:
    (text,) = re.findall(r"^ *```ini\n(.*?)^ *```", ADOPT, re.MULTILINE | re.DOTALL)
    settings = parse(re.sub(r"^ +", "", text, flags=re.MULTILINE), {}, celery=CelerySettings)
    assert settings.dispatcher.adopt == ("shop.celery:app",)
    for name, value in re.findall(r"`(adopt|adopt_only|tasks) = ([^`]+)`", ADOPT):
        assert parse(f"[dispatcher]\n{name} = {value}\n", {}, celery=CelerySettings)


def test_methods_that_are_not_used_are_named() -> None:
    assert {*FRONT} - {"spec"} == {*re.findall(r"`(\w+)`", ADOPT.partition("of a base class | not used")[0][-60:])}


def test_requests_that_replace_those_of_flower_exist() -> None:
    handlers = [
        handler for module in (rest, ops_routes) for kind in vars(module).values() for handler in _methods(kind)
    ]
    known = {(name, operation.path) for name, handler in handlers for operation in getattr(handler, "operations", ())}
    ours = [row.split("|")[2] for row in FLOWER.splitlines() if row.count("|") == 3]
    named = re.findall(r"`(GET|POST|DELETE) (/[^`?]*)", "\n".join(ours))
    assert len(named) > 15
    for method, path in named:
        template = re.sub(r"<(\w+)>", r"{\1}", path.replace("/1/2", "/{arguments}"))
        assert (method, template) in known, path


def _methods(kind: object) -> list[tuple[str, object]]:
    return [(name, found) for name in ("GET", "POST", "DELETE") if (found := getattr(kind, name, None)) is not None]
