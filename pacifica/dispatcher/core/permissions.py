"""Permissions: scopes with task globs, callers, and the addresses of this machine and of trusted proxies."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from .name_limits import MAX_NAME, TASK_NAME

READ, DISPATCH, CANCEL, ADMIN = SCOPES = ("read", "dispatch", "cancel", "admin")
"""``admin`` includes all other scopes."""
Network = IPv4Network | IPv6Network
MAX_HOST = 100
"""A longer host, in characters, is not a loopback address; this limits the size of the cache."""
_GLOB = re.compile(rf"({TASK_NAME}|[*?\[\]!]){{1,{MAX_NAME}}}")


@dataclass(frozen=True, slots=True)
class Grant:
    """One scope, for the tasks whose names match the glob."""

    scope: str
    tasks: str = "*"

    def __str__(self) -> str:
        return self.scope if self.tasks == "*" else f"{self.scope}:{self.tasks}"


@dataclass(frozen=True, slots=True)
class Visibility:
    """The jobs whose task matches one of the globs and, where ``caller`` is given, that this caller dispatched.

    ``store.visibility`` makes an SQL condition from it; a test compares the two.
    """

    tasks: tuple[str, ...] = ("*",)
    caller: str | None = None

    @property
    def every_task(self) -> bool:
        """Whether the jobs of every task are visible."""
        return "*" in self.tasks

    def matches(self, task: str) -> bool:
        """Whether one of the globs matches the task's name, including its case."""
        return self.every_task or any(fnmatchcase(task, glob) for glob in self.tasks)

    def covers(self, task: str, caller: str) -> bool:
        """Whether a job of that task, dispatched by that caller, is visible."""
        return self.matches(task) and self.caller in {None, caller}


EVERY_JOB = Visibility()


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request; its ``name`` is stored in the row, and is empty for an anonymous caller.

    ``own`` hides the jobs of other callers.
    """

    name: str
    grants: tuple[Grant, ...]
    own: bool = False
    _visibilities: dict[str, Visibility] = field(default_factory=dict, init=False, repr=False, compare=False)

    def may(self, scope: str, task: str | None = None) -> bool:
        """Whether one of the grants covers the scope, for the task if one is given."""
        visibility = self.visibility(scope)
        return bool(visibility.tasks) if task is None else visibility.matches(task)

    def may_all(self, scope: str) -> bool:
        """Whether the scope covers every task, and the jobs of every caller."""
        visibility = self.visibility(scope)
        return visibility.every_task and visibility.caller is None

    def visibility(self, scope: str) -> Visibility:
        """The jobs that the scope covers; none without a grant of it."""
        found = self._visibilities.get(scope)
        if found is None:
            globs = [grant.tasks for grant in self.grants if grant.scope in {scope, ADMIN}]
            found = Visibility(("*",) if "*" in globs else tuple(globs), self.name if self.own else None)
            self._visibilities[scope] = found
        return found


ANONYMOUS = Caller("", (Grant(ADMIN),))
"""The caller without a token, if the configuration admits one."""


def parse_grant(text: str) -> Grant:
    """Parse a text such as ``read`` or ``dispatch:lab.*``; raises ``ValueError`` with a sentence."""
    scope, colon, tasks = text.strip().partition(":")
    if scope not in SCOPES:
        raise ValueError(f"{scope[:40]!r} is not a scope; the scopes are {', '.join(SCOPES)}")
    if colon and not _GLOB.fullmatch(tasks):
        raise ValueError(f"{tasks[:40]!r} cannot match a task's name; use a glob such as lab.*")
    return Grant(scope, tasks if colon else "*")


def parse_grants(texts: Iterable[str]) -> tuple[Grant, ...]:
    """Parse several grants, and remove duplicates; raises as ``parse_grant``."""
    return tuple(dict.fromkeys(parse_grant(text) for text in texts))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address or name; false for an empty text."""
    return len(host) <= MAX_HOST and _is_loopback(host)


@lru_cache(maxsize=256)
def _is_loopback(host: str) -> bool:
    bare = host.strip().removeprefix("[").removesuffix("]").rstrip(".").lower()
    if bare == "localhost":
        return True
    address = _address(bare)
    return address is not None and address.is_loopback


def within(host: str, networks: Sequence[Network]) -> bool:
    """Whether the address is in one of the networks."""
    address = _address(host) if networks else None
    return address is not None and any(address in network for network in networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address; an IPv4 address that is mapped to IPv6 (``::ffff:127.0.0.1``) as IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
