"""Dispatches that may be refused, and the lock of an SQLite file."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import requests

from ..e2e.stack import Stack
from ..eventually import eventually
from .cluster import Cluster


def try_to_dispatch(stack: Stack, task: str, *args: object) -> requests.Response:
    """Send one dispatch, and return the answer."""
    return stack.request("POST", f"/dispatch/{task}", json={"args": args})


def until_refused(stack: Stack, task: str, *args: object) -> tuple[requests.Response, list[str]]:
    """Dispatch until a refusal; return it and the UUIDs of the jobs that were accepted before."""
    answers: list[requests.Response] = []

    def refused() -> bool:
        answers.append(try_to_dispatch(stack, task, *args))
        return answers[-1].status_code != 202

    eventually(refused, 20)
    return answers[-1], [str(answer.json()["uuid"]) for answer in answers[:-1]]


@contextmanager
def locked(cluster: Cluster) -> Iterator[None]:
    """Another program holds the lock of the SQLite file."""
    path = cluster.database_url.removeprefix("sqliteext:///")
    with closing(sqlite3.connect(path, isolation_level=None, timeout=20)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
