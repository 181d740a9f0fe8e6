"""``doctor``: checks of this machine, and a probe job over HTTP."""

from .command import doctor

__all__ = ["doctor"]
