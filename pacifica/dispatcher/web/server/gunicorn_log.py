"""gunicorn's own lines in our form; ``--log-level`` and ``--error-logfile`` stay gunicorn's."""

import logging
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger

from ...config.load import find_sources
from ...config.parser import logging_settings
from ...core.errors import ConfigError
from ...logs.setup import dress


class Logger(GunicornLogger):  # type: ignore[misc]
    """Chosen by ``pacifica.dispatcher.gunicorn_conf``."""

    def setup(self, cfg: Any) -> None:
        """As gunicorn's; a configuration with a fault is told when the application begins, in the default form.

        A fault that only Celery can see does not change the form.
        """
        super().setup(cfg)
        try:
            sources = find_sources()
            settings = logging_settings(sources.text, sources.environ, sources.name)
        except ConfigError:
            settings = logging_settings("", {})
        own: list[logging.Handler] = self.error_log.handlers
        dress(own, settings)
