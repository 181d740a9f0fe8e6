"""``python -m bench``: measure, and write the report; ``--report`` writes it anew from what was measured."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from . import pictures, report, wrk
from .results import Results
from .rounds import names, run, say
from .scenes import ALL as SCENES
from .scenes.scene import SHORT, Sizes
from .systems import ALL as SYSTEMS
from .systems.system import PEERS, ROOT

JSON = "results.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 when all that was tried has figures, 1 when something failed, 130 after Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.report:
        _write_report(Results.read(options.out / JSON), options.out)
        return 0
    if wrk.missing():
        say(wrk.INSTALL)
        return 1
    sizes = SHORT if options.short else Sizes()
    sizes = replace(sizes, rounds=options.rounds or sizes.rounds, seconds=options.seconds or sizes.seconds)
    scenes = [SCENES[name] for name in options.scenes or SCENES]
    command = shlex.join(["python", "-m", "bench", *given])
    status, results = run(scenes, options.systems, sizes, options.out / JSON, command)
    _write_report(results, options.out)
    return status


def _write_report(results: Results, folder: Path) -> None:
    """Plots are drawn where matplotlib is installed, which is among the peers."""
    if (PEERS / "python").exists():
        pictures.draw(results, folder)
    else:
        say(f"No plots, as {PEERS.parent} is not there (make bench installs it).")
    say(f"Written: {report.write(results, folder)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure beside the peers; README.md here tells how."
    )
    parser.add_argument("--rounds", type=int, help="how often each is measured (5; with --short, 1)")
    parser.add_argument("--seconds", type=float, help="how long each load lasts, in whole seconds (5; with --short, 1)")
    parser.add_argument("--systems", type=names(SYSTEMS), default=[], metavar="A,B", help=", ".join(SYSTEMS))
    parser.add_argument("--scenes", type=names(SCENES), default=[], metavar="A,B", help=", ".join(SCENES))
    parser.add_argument("--short", action="store_true", help="one round of seconds, to see that all works")
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="the folder that is written")
    parser.add_argument(
        "--report", action="store_true", help="measure nothing, and write the report of what was measured"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
