"""The service document, which ``GET /`` answers to programs."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from .middleware import path_prefix

LINKS: Mapping[str, str] = {
    "dispatch": "/dispatch/{task}/{arg}…",
    "batch": "/dispatch",
    "status": "/status/{uuid}",
    "events": "/status/{uuid}/events",
    "all events": "/events?after=&limit=",
    "search": "/status?task=&state=&label=&since=&until=&limit=",
    "result": "/result/{uuid}",
    "tasks": "/tasks",
    "live": "/health/live",
    "ready": "/health/ready",
    "metrics": "/metrics",
    "openapi": "/openapi.json",
    "docs": "/docs",
}
"""The routes that the service document lists."""


def service_document(tasks: Iterable[str], *, get_dispatch: bool) -> dict[str, Any]:
    """The name and version of the service, its tasks, and its routes."""
    links = LINKS if get_dispatch else {**LINKS, "dispatch": "/dispatch/{task}"}
    return {
        "name": "Pacifica Dispatcher",
        "version": version("pacifica-dispatcher"),
        "tasks": list(tasks),
        "links": {name: path_prefix.of_request() + path for name, path in links.items()},
    }
