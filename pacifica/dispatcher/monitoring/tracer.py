"""The choice of the tracer: OpenTelemetry's, if its standard environment variables ask for spans.

Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import logging
from collections.abc import Mapping

from ..core.tracing import EXPORTER, NoTracing, Tracing

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether the variables name somewhere for spans to go."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get(EXPORTER) == "none":
        return False
    return any(environ.get(name) for name in (*ENDPOINTS, EXPORTER))


def tracing(environ: Mapping[str, str], driver: str) -> Tracing:
    """The tracing that the environment asks for; ``driver`` is kombu's type of the broker."""
    if not wanted(environ):
        return NoTracing()
    try:
        from .otel import traced
    except ImportError:
        logger.warning("OTEL_… asks for spans, and the extra is not there: pip install 'pacifica-dispatcher[tracing]'")
        return NoTracing()
    return traced(environ, driver)
