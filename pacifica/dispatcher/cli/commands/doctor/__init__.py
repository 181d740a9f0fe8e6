"""``doctor``: checks of this machine, and a probe job over HTTP."""
