"""Tasks of a laboratory, as an example."""

from pacifica.dispatcher import task


@task
def convert(sample: str, scale: float = 1.0) -> dict[str, float]:
    """Convert one sample."""
    return {sample: 2.5 * scale}
