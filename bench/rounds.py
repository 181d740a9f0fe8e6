"""One run of a command: every scene in all its rounds, and what it is given on its command line."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from . import facts
from .results import Results
from .scenes.scene import Round, Scene, Sizes
from .servers import Servers
from .systems import ALL as SYSTEMS


def run(scenes: Iterable[Scene], systems: Sequence[str], sizes: Sizes, file: Path, command: str) -> tuple[int, Results]:
    """The exit status, and the results, which ``file`` has after each round: 1 when something failed, 130 after Ctrl-C.

    Without ``systems``, all are measured.
    """
    # Asked to end, it ends what it has started, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as made, Servers(Path(made)) as servers:
        results = Results(facts.gather(servers, [SYSTEMS[name] for name in systems or SYSTEMS], command))
        try:
            for scene in scenes:
                for number in range(1, sizes.rounds + 1):
                    scene.measure(Round(scene, number, sizes, servers, results, systems, Path(made), say))
                    results.write(file)
        except KeyboardInterrupt:
            say("Interrupted; what was measured until now is kept.")
            return 130, results
        finally:
            results.write(file)
    return int(any(one.failed for one in results.not_run)), results


def names(known: Mapping[str, object]) -> Callable[[str], list[str]]:
    """Reads names that are separated by commas, and refuses those that are not known."""

    def read(text: str) -> list[str]:
        found = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in found if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
        return found

    return read


def say(text: str) -> None:
    """To whoever waits."""
    sys.stderr.write(f"{text}\n")
