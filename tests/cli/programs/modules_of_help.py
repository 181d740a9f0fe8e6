"""Prints the names of all modules that ``--help`` has imported, on the last line."""

import sys

from pacifica.dispatcher.cli import main

try:
    main(["--help"])
finally:
    print(*sys.modules)
