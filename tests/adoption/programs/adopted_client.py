"""The client of an example, in a process that has adopted the application: ``adopted_client.py proj.celery:app``."""

import runpy
import sys
from importlib import import_module

from pacifica.dispatcher import adopt

module, _, name = sys.argv.pop().partition(":")
adopt(getattr(import_module(module), name))
runpy.run_path("client.py", run_name="__main__")
