"""gunicorn's own lines in our form; ``--log-level`` and ``--error-logfile`` stay gunicorn's."""

import logging
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger

from ...config import parse
from ...errors import ConfigError
from ...logsetup import dress
from ...settings import load_settings


class Logger(GunicornLogger):  # type: ignore[misc]
    """Chosen by ``pacifica.dispatcher.gunicorn_conf``."""

    def setup(self, cfg: Any) -> None:
        """As gunicorn's; a configuration with a fault is told when the application begins, in the default form."""
        super().setup(cfg)
        try:
            settings = load_settings().logging
        except ConfigError:
            settings = parse(None, {}, {}, celery_types={}).logging
        own: list[logging.Handler] = self.error_log.handlers
        dress(own, settings)
