"""The tasks of the distribution lab-kit."""

from pacifica.dispatcher import task


@task(name="weigh")
def weigh(sample: str, grams: float) -> str:
    """Return the weight as text."""
    return f"{sample}: {grams} g"
