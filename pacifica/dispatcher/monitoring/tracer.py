"""The choice of the tracing: OpenTelemetry, if its standard environment variables are set.

Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import logging
from collections.abc import Mapping

from ..core.tracing import EXPORTER, Tracing

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def is_requested(environ: Mapping[str, str]) -> bool:
    """Whether the variables name an endpoint or an exporter for spans."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get(EXPORTER) == "none":
        return False
    return any(environ.get(name) for name in (*ENDPOINTS, EXPORTER))


def tracing(environ: Mapping[str, str], driver: str) -> Tracing:
    """The tracing that the environment requests; ``driver`` is the type of the broker in kombu."""
    if not is_requested(environ):
        return Tracing()
    try:
        from .otel import otel_tracing
    except ImportError:
        logger.warning(
            "The OTEL_… variables request spans, but OpenTelemetry is not installed. "
            "Install it with: pip install 'pacifica-dispatcher[tracing]'"
        )
        return Tracing()
    return otel_tracing(environ, driver)
