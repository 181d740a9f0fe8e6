"""Formats gunicorn's own lines as ours; ``--log-level`` and ``--error-logfile`` keep their meaning."""

import logging
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger

from ...config.load import find_sources
from ...config.parser import logging_settings
from ...core.errors import ConfigError
from ...logs.setup import set_format


class Logger(GunicornLogger):  # type: ignore[misc]
    """Selected by ``pacifica.dispatcher.gunicorn_conf``."""

    def setup(self, cfg: Any) -> None:
        """Set up gunicorn's logging, in the default format if the configuration is invalid.

        The application reports faults of the configuration when it starts. A fault in Celery's settings does not
        change the format.
        """
        super().setup(cfg)
        try:
            sources = find_sources()
            settings = logging_settings(sources.text, sources.environ, sources.name)
        except ConfigError:
            settings = logging_settings("", {})
        own: list[logging.Handler] = self.error_log.handlers
        set_format(own, settings)
