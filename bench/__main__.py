"""``python -m bench``: measure, and write the report; ``--report`` writes it anew from what was measured."""

import argparse
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from . import facts, pictures, report, wrk
from .results import Results
from .scenes import ALL as SCENES
from .scenes.scene import SHORT, Round, Sizes
from .servers import Servers
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
        _say(wrk.INSTALL)
        return 1
    # Asked to end, it ends what it has started, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    status, results = _measure(options, given)
    _write_report(results, options.out)
    return status


def _measure(options: argparse.Namespace, given: list[str]) -> tuple[int, Results]:
    sizes = SHORT if options.short else Sizes()
    sizes = replace(sizes, rounds=options.rounds or sizes.rounds, seconds=options.seconds or sizes.seconds)
    with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as made, Servers(Path(made)) as servers:
        chosen = [SYSTEMS[name] for name in options.systems or SYSTEMS]
        results = Results(facts.gather(servers, chosen, given))
        try:
            for name in options.scenes or SCENES:
                for number in range(1, sizes.rounds + 1):
                    this = Round(SCENES[name], number, sizes, servers, results, options.systems, Path(made), _say)
                    SCENES[name].measure(this)
                    results.write(options.out / JSON)
        except KeyboardInterrupt:
            _say("Interrupted; what was measured until now is kept.")
            return 130, results
        finally:
            results.write(options.out / JSON)
    return int(any(one.failed for one in results.not_run)), results


def _write_report(results: Results, folder: Path) -> None:
    """Plots are drawn where matplotlib is installed, which is among the peers."""
    if (PEERS / "python").exists():
        pictures.draw(results, folder)
    else:
        _say(f"No plots, as {PEERS.parent} is not there (make bench installs it).")
    _say(f"Written: {report.write(results, folder)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure beside the peers; README.md here tells how."
    )
    parser.add_argument("--rounds", type=int, help="how often each is measured (5; with --short, 1)")
    parser.add_argument("--seconds", type=float, help="how long each load lasts, in whole seconds (5; with --short, 1)")
    parser.add_argument("--systems", type=_names(SYSTEMS), default=[], metavar="A,B", help=", ".join(SYSTEMS))
    parser.add_argument("--scenes", type=_names(SCENES), default=[], metavar="A,B", help=", ".join(SCENES))
    parser.add_argument("--short", action="store_true", help="one round of seconds, to see that all works")
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="the folder that is written")
    parser.add_argument(
        "--report", action="store_true", help="measure nothing, and write the report of what was measured"
    )
    return parser


def _names(known: Mapping[str, object]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
        return names

    return read


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
