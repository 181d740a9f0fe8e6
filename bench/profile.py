"""``python -m bench.profile``: by what limit the rates are bounded, as processor time by part."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from . import report, wrk
from .results import Results
from .rounds import names, run, say
from .scenes import functions
from .scenes.beneath import Beneath
from .scenes.scene import Sizes
from .scenes.shares import SYSTEMS as CHOSEN
from .scenes.shares import Shares
from .systems import ALL as SYSTEMS
from .systems.system import ROOT

NAME = "profile"
ROUNDS = 3
SCENES = (Shares(), Beneath(), functions.Functions())


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status, as ``python -m bench`` has it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    options.out.mkdir(parents=True, exist_ok=True)
    if wrk.missing():
        say(wrk.INSTALL)
        return 1
    sizes = Sizes(rounds=options.rounds, seconds=options.seconds)
    scenes = SCENES if options.py_spy else SCENES[:2]
    command = shlex.join(["python", "-m", "bench.profile", *given])
    status, results = run(scenes, options.systems, sizes, options.out / f"{NAME}.json", command)
    say(f"Written: {write(results, options.out)}")
    return status


def write(results: Results, folder: Path) -> Path:
    """The page, and beside it the functions, where any were watched."""
    page = folder / f"{NAME}.md"
    page.write_text(report.text(results, (), SCENES, "Processor time", f"{NAME}.json"), encoding="utf-8")
    watched = folder / f"{NAME}-functions.txt"
    if told := functions.text(results):
        watched.write_text(told, encoding="utf-8")
    else:
        watched.unlink(missing_ok=True)
    return page


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.profile", description="Measure what a job costs each part; README.md here tells how."
    )
    parser.add_argument(
        "-P", "--systems", type=names(SYSTEMS), default=list(CHOSEN), metavar="A,B", help=", ".join(SYSTEMS)
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often each is measured ({ROUNDS})")
    parser.add_argument("--seconds", type=float, default=5, help="how long each load lasts, in whole seconds (5)")
    parser.add_argument("--py-spy", action="store_true", help="watch which functions our processes are in, too")
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="the folder that is written")
    return parser


if __name__ == "__main__":
    sys.exit(main())
