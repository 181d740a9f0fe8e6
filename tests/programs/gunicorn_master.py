"""Does what gunicorn's master does before it forks its workers; prints the modules that it has imported."""

import sys

from gunicorn.config import Config

from pacifica.dispatcher import gunicorn_conf

log = gunicorn_conf.Logger(Config())
print(*sys.modules)
log.error("in our form")
