"""Scopes, callers, and loopback addresses."""

from ipaddress import ip_network

import pytest

from pacifica.dispatcher.core.permissions import (
    ANONYMOUS,
    EVERY_JOB,
    Caller,
    Grant,
    Visibility,
    is_loopback,
    parse_grant,
    within,
)


@pytest.mark.parametrize("text", ["read", "dispatch:lab.*", "admin", "cancel:lab.[ab]"])
def test_grant_is_written_as_it_was_read(text: str) -> None:
    assert str(parse_grant(text)) == text


@pytest.mark.parametrize("text", ["", "write", "Read", "dispatch:", "dispatch:a b", "read:\n", ":add"])
def test_malformed_grant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"scope|match"):
        parse_grant(text)


def test_grant_covers_its_scope_and_tasks_and_admin_covers_all() -> None:
    lab = Caller("token:lab", (Grant("dispatch", "lab.*"), Grant("read")))
    assert lab.may("dispatch")
    assert lab.may("dispatch", "lab.greet")
    assert not lab.may("dispatch", "add")
    assert not lab.may("dispatch", "LAB.greet")
    assert lab.may("read", "add")
    assert not lab.may("cancel")
    assert not lab.may("admin")
    assert all(ANONYMOUS.may(scope, "add") and ANONYMOUS.may_all(scope) for scope in ("read", "dispatch", "cancel"))


def test_own_visibility_covers_only_the_callers_jobs() -> None:
    own = Caller("token:own", (Grant("admin"),), own=True)
    assert own.visibility("cancel").covers("add", "token:own")
    assert not own.visibility("cancel").covers("add", "token:other")
    assert not own.visibility("cancel").covers("add", "")
    assert not own.may_all("read")
    assert not Caller("x", (Grant("read", "lab.*"),)).may_all("read")


def test_visibility_is_the_union_of_the_grants_of_the_scope() -> None:
    caller = Caller("x", (Grant("read", "lab.*"), Grant("read", "[am]??"), Grant("cancel"), Grant("admin", "sleep")))
    visibility = caller.visibility("read")
    assert [task for task in ("lab.greet", "add", "mul", "sleep", "fail", "LAB.x") if visibility.covers(task, "y")] == [
        "lab.greet",
        "add",
        "mul",
        "sleep",
    ]
    assert caller.visibility("cancel") == EVERY_JOB
    assert caller.visibility("dispatch").tasks == ("sleep",)
    assert not Visibility(()).covers("add", "")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST.", "::ffff:127.0.0.1"]
)
def test_every_form_of_the_loopback_address_is_recognized(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "10.0.0.1", "localhost.evil.example", "127.0.0.1.evil.example", "127.1", "2130706433"]
)
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_address_is_within_a_network_of_its_family() -> None:
    networks = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert within("10.1.2.3", networks)
    assert within("::ffff:10.1.2.3", networks)
    assert within("fd00::1", networks)
    assert not within("11.0.0.1", networks)
    assert not within("proxy", networks)
