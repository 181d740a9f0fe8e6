"""The OpenAPI document as an HTML page: one file, without scripts and external resources."""

import base64
import hashlib
import re
from collections.abc import Mapping
from html import escape
from typing import Any

import cherrypy

from ..middleware import path_prefix

HTML = "text/html"
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 1rem/1.55 system-ui, sans-serif; max-width: 52rem; margin: 0 auto; padding: 2rem 1.25rem 6rem; }
h1 { font-size: 1.9rem; margin: 0 0 .25rem; }
h2 { font-size: 1rem; margin: 2.25rem 0 .25rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h2 code { overflow-wrap: anywhere; }
.method { display: inline-block; min-width: 4.2rem; font: 700 .78rem/1 ui-monospace, monospace; color: #0a6b5e; }
@media (prefers-color-scheme: dark) { .method { color: #5fd3c2; } }
table { border-collapse: collapse; width: 100%; margin: .75rem 0; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; width: 12rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .92em; }
nav ul { columns: 2; padding-left: 1.1rem; font-size: .92rem; }
"""
POLICY = f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"


def as_page(document: Mapping[str, Any]) -> bytes:
    """The page as a response body; sets its content type and Content-Security-Policy."""
    cherrypy.response.headers["Content-Type"] = f"{HTML};charset=utf-8"
    cherrypy.response.headers["Content-Security-Policy"] = POLICY
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    operations = [(path, method, each) for path, item in document["paths"].items() for method, each in item.items()]
    links = "".join(
        f'<li><a href="#{escape(each["operationId"])}">{method.upper()} {escape(path)}</a></li>'
        for path, method, each in operations
    )
    document_path = f"{path_prefix.of_request()}/openapi.json"
    body = "".join(_section(*each) for each in operations)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>'
        f'<header><h1>{title}</h1><p>For programs: <a href="{document_path}">OpenAPI 3.1</a>.</p></header>'
        f'<nav aria-label="Routes"><ul>{links}</ul></nav><main>{body}</main></body></html>\n'
    ).encode("utf-8", "backslashreplace")


def _section(path: str, method: str, operation: Mapping[str, Any]) -> str:
    rows = [(f"{each['name']} ({each['in']})", _description(each)) for each in operation["parameters"]]
    rows += [
        (", ".join(statuses), f"{description} {'; '.join(content)}")
        for (description, content), statuses in _group_statuses(operation["responses"]).items()
    ]
    table = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>' for name, text in rows)
    description = f"{_prose(operation['summary'])} {_prose(operation.get('description', ''))}"
    return (
        f'<section><h2 id="{escape(operation["operationId"])}"><span class="method">{method.upper()}</span> '
        f"<code>{escape(path)}</code></h2><p>{description}</p><table>{table}</table></section>"
    )


def _group_statuses(responses: Mapping[str, Any]) -> dict[tuple[str, tuple[str, ...]], list[str]]:
    """The statuses that share a description and content."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for status, answer in responses.items():
        content = tuple(_representation(*each) for each in answer.get("content", {}).items())
        found.setdefault((answer["description"], content), []).append(status)
    return found


def _representation(media: str, content: Mapping[str, Any]) -> str:
    """A media type, with the name of its schema if that is a component."""
    named = content["schema"].get("$ref", "").rpartition("/")[2]
    return f"{media}: {named}" if named and named != "Problem" else media


def _description(parameter: Mapping[str, Any]) -> str:
    return str(parameter.get("description") or parameter["schema"].get("description", ""))


def _prose(text: str) -> str:
    """The text of a docstring, with its literals as code."""
    return re.sub(r"``(.+?)``", r"<code>\1</code>", escape(text))
