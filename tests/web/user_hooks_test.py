"""Which settings of CherryPy bring code of a user into a request."""

import re
from typing import Any

import pytest

from pacifica.dispatcher.web.application import CONFIG
from pacifica.dispatcher.web.user_hooks import has_user_hooks


def called() -> None:
    """A function of a user."""


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ({}, False),
        ({"tools.gzip.on": True}, True),
        ({"tools.gzip.on": False, "tools.gzip.compress_level": 3}, False),
        ({"hooks.before_handler.mine": called}, True),
        ({"hooks.before_handler.mine": "module.function"}, True),
        ({"wsgi.pipeline": [("mine", called)]}, True),
        ({"error_page.404": called}, True),
        ({"error_page.404": "not_found.html"}, False),
        ({"request.methods_with_bodies": called}, True),
        ({"request.show_tracebacks": True, "request.throw_errors": False}, False),
        ({"log.screen": True}, False),
    ],
    ids=lambda value: re.sub(r" at 0x\w+", "", repr(value)),  # Each process has other addresses.
)
def test_code_of_a_user_is_recognized(setting: dict[str, Any], found: bool) -> None:
    ours = {"/": dict(CONFIG)}
    assert has_user_hooks(setting, ours) is found
    assert has_user_hooks({}, {"/": {**CONFIG, **setting}}) is found
    assert has_user_hooks({}, {**ours, "/status": setting}) is found
