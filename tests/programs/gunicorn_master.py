"""Does what gunicorn's master does before it forks its workers; prints the modules that it has imported."""

import importlib
import sys

from gunicorn.config import Config

from pacifica.dispatcher import gunicorn_conf

for chosen in (gunicorn_conf.logger_class, gunicorn_conf.worker_class):
    module, _, name = chosen.rpartition(".")
    getattr(importlib.import_module(module), name)
log = importlib.import_module(gunicorn_conf.logger_class.rpartition(".")[0]).Logger(Config())
print(*sys.modules)
log.error("in our form")
