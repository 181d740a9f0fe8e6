"""A task that returns its trace context."""

from pacifica.dispatcher import task


@task(name="traced", bind=True)
def traced(self):
    return getattr(self.request, "traceparent", None)
