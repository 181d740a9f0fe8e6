"""Prints what a process sees of its start; waits with an argument, else ends with status 3."""

import json
import os
import signal
import sys

seen = {
    "argv": sys.argv[1:],
    "cwd": os.getcwd(),  # noqa: PTH109 - as a string
    "environment": dict(os.environ),
    "leads": os.getpid() == os.getpgrp() == os.getsid(0),
    "main": sys.modules["__main__"].__file__,
    "product": [name for name in sys.modules if name.startswith("pacifica")],
}
print(json.dumps(seen), flush=True)
if sys.argv[1:]:
    signal.pause()
sys.exit(3)
