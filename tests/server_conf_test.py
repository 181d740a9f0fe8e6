"""Each line of ``server.conf`` sets the default, as its first comment says."""

from pathlib import Path
from typing import Any

import cherrypy
from cherrypy._cpserver import Server
from cherrypy.lib.reprconf import Parser

from pacifica.dispatcher.__main__ import DEFAULTS

FILE = Path(__file__).parent.parent / "server.conf"


def default(key: str) -> Any:
    """The value of a setting without a file and without options."""
    if key in DEFAULTS:
        return DEFAULTS[key]
    section, _, name = key.partition(".")
    return getattr({"server": Server(), "log": cherrypy.log}[section], name)


def test_each_line_of_server_conf_sets_the_default() -> None:
    settings = Parser().dict_from_file(str(FILE))["global"]
    assert settings == {key: default(key) for key in settings}
