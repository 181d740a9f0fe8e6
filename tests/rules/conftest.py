"""How Hypothesis looks for counterexamples."""

from hypothesis import settings

# A busy machine is no counterexample.
settings.register_profile("pacifica", deadline=None)
settings.load_profile("pacifica")
