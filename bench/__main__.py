"""``python -m bench`` measures and writes the report; ``--report`` writes the report again from the stored figures."""

import argparse
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from . import facts, report, wrk
from .results import Results
from .scenes import ALL as SCENES
from .scenes.scene import SHORT, Round, Scene, Sizes
from .servers import Servers
from .systems import ALL as SYSTEMS
from .systems.system import ROOT

JSON = "results.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 0 if every figure is there, 1 if something failed, 130 after Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    file = options.out / JSON
    if options.report:
        print_line(f"Written: {report.write(Results.read(file), options.out)}")
        return 0
    if missing := wrk.missing():
        print_line(missing)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    sizes = SHORT if options.short else Sizes()
    sizes = replace(sizes, rounds=options.rounds or sizes.rounds, seconds=options.seconds or sizes.seconds)
    scenes = [SCENES[name] for name in options.scenes or SCENES]
    status, results = run(scenes, options.systems, sizes, file, shlex.join(["python", "-m", "bench", *given]))
    print_line(f"Written: {report.write(results, options.out)}")
    return status


def run(scenes: Iterable[Scene], systems: Sequence[str], sizes: Sizes, file: Path, command: str) -> tuple[int, Results]:
    """Run each scene in all its rounds; return the exit status and the results, which ``file`` has after each round.

    ``systems`` are the names of the systems to measure; empty: all.
    """
    # SIGTERM stops everything that was started, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder, Servers(Path(folder)) as servers:
        results = Results(facts.gather(servers, [SYSTEMS[name] for name in systems or SYSTEMS], command))
        try:
            for scene in scenes:
                for number in range(1, sizes.rounds + 1):
                    scene.measure(Round(scene, number, sizes, servers, results, systems, print_line))
                    results.write(file)
        except KeyboardInterrupt:
            print_line("Interrupted. The figures that were measured so far are kept.")
            return 130, results
        finally:
            results.write(file)
    return int(any(one.failed for one in results.not_run)), results


def print_line(text: str) -> None:
    """Print to standard error."""
    sys.stderr.write(f"{text}\n")


def _names(known: Mapping[str, object]) -> Callable[[str], list[str]]:
    """Return a parser for names separated by commas; it refuses unknown ones."""

    def read(text: str) -> list[str]:
        found = [name.strip() for name in text.split(",") if name.strip()]
        if unknown := [name for name in found if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
        return found

    return read


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure beside the peers; see bench/README.md."
    )
    add = parser.add_argument
    add("--rounds", type=int, help="how often each system is measured (5; with --short, 1)")
    add("--seconds", type=float, help="how long each load lasts, in whole seconds (3; with --short, 1)")
    add("--systems", type=_names(SYSTEMS), default=[], metavar="A,B", help=", ".join(SYSTEMS))
    add("--scenes", type=_names(SCENES), default=[], metavar="A,B", help=", ".join(SCENES))
    add("--short", action="store_true", help="run one round of a few seconds, to see that everything works")
    add("--out", type=Path, default=ROOT / "results", help="the folder for the results")
    add("--report", action="store_true", help="measure nothing; write the report of the stored figures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
