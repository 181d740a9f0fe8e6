"""The packages that the product imports are those that pyproject.toml declares."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PROJECT: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TOOLS = {"dev"}
"""Extras of the development environment."""
NOT_IMPORTED = {"celery[redis]", "opentelemetry-exporter-otlp-proto-http"}
"""Declared for what they install: the Redis client that kombu imports; the exporter, which shares a namespace."""


def declared() -> set[str]:
    """The distributions that the project requires, extras included, in normal form."""
    extras = [line for name, lines in PROJECT["optional-dependencies"].items() if name not in TOOLS for line in lines]
    requirements = {re.split(r"[<>=;]", line)[0].strip() for line in (*PROJECT["dependencies"], *extras)}
    return {normal(re.sub(r"\[.*\]", "", name)) for name in requirements - NOT_IMPORTED}


def normal(name: str) -> str:
    """A distribution's name as PyPI compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imported_packages() -> Iterator[str]:
    """The top-level package of every absolute import of the product."""
    for path in (ROOT / "pacifica").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            yield from (name.partition(".")[0] for name in names)


def test_declared_and_imported_packages_are_the_same() -> None:
    third_party = set(imported_packages()) - set(sys.stdlib_module_names) - {"pacifica"}
    providers = packages_distributions()
    imported = {normal(name) for package in third_party for name in providers[package]}
    namespaces = {name for name in imported if name.startswith("opentelemetry-")}
    assert imported - namespaces == declared() - {"opentelemetry-sdk"}
    assert "opentelemetry-sdk" in namespaces
