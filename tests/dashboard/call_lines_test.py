"""The lines for a shell and for Python: what they send."""

import ast
import json
import shlex
from typing import Any
from urllib.parse import unquote

import pytest

from pacifica.dispatcher.cli.commands.search import search
from pacifica.dispatcher.core import strict_json
from pacifica.dispatcher.core.job import State
from pacifica.dispatcher.core.job_filter import JobFilter, LabelFilter
from pacifica.dispatcher.dashboard.call_lines import curl_line, line_for_all, python_lines

BASE = "http://lab.example:8050/jobs"
CALLS: list[tuple[str, list[Any], dict[str, Any], dict[str, Any]]] = [
    ("add", [2, 2], {}, {}),
    ("add", [], {}, {}),
    ("add", [], {"\ufb01": 1}, {}),
    ("lab.convert", ['it\'s "here" $HOME `id` \\ !1'], {"scale": 1e300, "note": "é\u202e\n\x00"}, {"queue": "slow"}),
    ("größe:1", [None, True, [0.1, {"a": []}]], {"options": 1, "class": 2, "not a name": 3}, {"labels": {"a": "b"}}),
    ("big", [12345678901234567890123, "\ud800"], {"long": "x" * 300}, {}),
]


@pytest.mark.parametrize(("task", "args", "kwargs", "options"), CALLS)
def test_curl_line_sends_the_call(task: str, args: list[Any], kwargs: dict[str, Any], options: dict[str, Any]) -> None:
    line = curl_line(BASE, task, args, kwargs, options)
    assert all(sign.isprintable() for sign in line.replace("\n", ""))
    words = [word for word in shlex.split(line) if word != "\n"]
    assert words[0] == "curl"
    assert unquote(words[1]) == f"{BASE}/dispatch/{task}"
    body = json.loads(words[words.index("-d") + 1])
    given = {"args": args, "kwargs": kwargs, "options": options}
    assert body == {name: value for name, value in given.items() if value}


@pytest.mark.parametrize(("task", "args", "kwargs", "options"), CALLS)
def test_python_lines_make_the_call(
    task: str, args: list[Any], kwargs: dict[str, Any], options: dict[str, Any]
) -> None:
    text = python_lines(BASE, task, args, kwargs, options)
    assert all(sign.isprintable() for sign in text.replace("\n", ""))
    call = next(
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr != "result"
    )
    assert isinstance(call.func, ast.Attribute)
    positional = [ast.literal_eval(each) for each in call.args]
    named = {each.arg: ast.literal_eval(each.value) for each in call.keywords}
    assert named.pop("options", {}) == options
    if call.func.attr == "dispatch_call":
        assert (positional, named) == ([task], {"args": args, "kwargs": kwargs})
    else:
        assert (positional, named) == ([task, *args], kwargs)


def test_curl_line_names_the_variable_of_the_token_if_one_is_needed() -> None:
    assert '"Authorization: Bearer $DISPATCHER_TOKEN"' in curl_line(BASE, "add", [], {}, token=True)
    assert "DISPATCHER_TOKEN" not in curl_line(BASE, "add", [], {})


def test_curl_line_keeps_the_digits_that_were_written() -> None:
    assert "1.10" in curl_line(BASE, "add", strict_json.loads("[1.10]", exact=True), {})


def test_line_for_all_searches_with_the_same_filters() -> None:
    filters = JobFilter(
        task="lab.convert",
        states=(State.FAILURE, State.REVOKED),
        labels=(LabelFilter("run", "1=2"), LabelFilter("site", None)),
        queue="slow",
        caller="token:ada",
        error="it's $HOME `id`",
        since=1_700_000_000_000_000,
    )
    line = line_for_all(BASE, filters, "cancel")
    first, _, then = line.partition("|")
    words = [word for word in shlex.split(first) if word != "\n"]
    assert words[:2] == ["pacifica-dispatcher-cmd", "search"]
    given = search.make_context("search", words[2:]).params
    assert (given["url"], given["everything"], given["task"], given["queue"]) == (BASE, True, "lab.convert", "slow")
    assert (given["caller"], given["error"]) == ("token:ada", "it's $HOME `id`")
    assert (given["state"], given["label"]) == (("FAILURE", "REVOKED"), ("run=1=2", "site"))
    assert (given["since"], given["until"]) == ("2023-11-14T22:13:20.000000Z", None)
    assert then.endswith(f"xargs -n1 pacifica-dispatcher-cmd cancel --url {BASE}")
