"""Which functions of ours the processor time goes to, as py-spy sees them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from .. import stacks
from ..load import dispatch_for
from ..processes import Command, Group, Process, family, group
from ..results import Results
from ..statistics import spread
from ..systems import ALL
from ..systems.system import PEERS, Live, running
from .scene import Figure, Round, Scene, Table

RATE = 200
"""Samples a second."""
SHOWN = 25
OWN, WHOLE, TIME = "own", "all", "time"
NAMES = (*stacks.PARTS, stacks.ELSE)
SPY = PEERS / "py-spy"
MISSING = f"{SPY.name} is not installed (make bench installs it)"
PROCESSES = {"web": "the web process", "main": "Celery's main process", "child": "one of its children"}
WAYS = {"python": "runs Python", "work": "works"}
OPTIONS: Mapping[str, Sequence[str]] = {
    "python": ("--gil",),
    # A pause wakes all threads of a process, and those that it has woken would count as at work in the next sample.
    "work": ("--nonblocking",),
}


class Functions(Scene):
    """Pacifica Dispatcher alone, in each way under a load of its own, as each sample takes its time."""

    name = "functions"
    title = "Where the time of our processes goes"
    note = (
        f"Seen by py-spy {RATE} times a second, under the same load, which that slows down. A process *runs Python*\n"
        "where a thread has the interpreter's lock: 100 % of the time is all that one process can. It *works* where a\n"
        "thread has something to do, also without that lock: SQLite, sockets, the disk, and threads that were woken\n"
        "and wait for a core; several threads add up. This second way sees too little of Python, as stacks that move\n"
        "while they are read are lost. SQLite, which is C, is what PeeWee's calls of it take. The functions with the\n"
        "most time of their own: [profile-functions.txt](profile-functions.txt)."
    )
    tables = (
        Table(
            OWN,
            "Per cent, by the innermost of these parts, which is charged with what it has Python's library do",
            (
                Figure(TIME, "of the time, %"),
                *(Figure(f"{OWN} {name}", name, digits=1) for name in NAMES),
            ),
        ),
        Table(
            WHOLE,
            "Per cent in which the part was anywhere in the stack: with all that it calls",
            tuple(Figure(f"{WHOLE} {name}", name, digits=1) for name in NAMES),
        ),
    )
    rows: ClassVar[Mapping[str, str]] = {
        f"{process}-{way}": f"{title} {does}" for way, does in WAYS.items() for process, title in PROCESSES.items()
    }

    def measure(self, this: Round) -> None:
        """Both ways from one start."""
        system, row = ALL["pacifica"], next(iter(self.rows))
        missing = system.missing(this.servers) or ("" if SPY.exists() else MISSING)
        if missing:
            this.leave_out(row, missing)
        else:
            this.attempt(row, lambda: _measure(this))


def figures(seen: stacks.Stacks, seconds: float) -> dict[str, float]:
    """Of one process: the parts, and the functions with the most time of their own."""
    own, whole = stacks.own_parts(seen), stacks.all_parts(seen)
    found = {TIME: stacks.samples(seen) / (RATE * seconds) * 100}
    found |= {f"{OWN} {name}": own.get(name, 0.0) for name in NAMES}
    found |= {f"{WHOLE} {name}": whole.get(name, 0.0) for name in NAMES}
    within = stacks.all_functions(seen)
    for name, share in list(stacks.own_functions(seen).items())[:SHOWN]:
        found |= {f"{OWN} {name}": share, f"{WHOLE} {name}": within[name]}
    return {name: round(value, 2) for name, value in found.items()}


def text(results: Results) -> str:
    """The functions of each process, as text; empty where none was watched."""
    return "\n".join(_text(results, row) for row in results.rows(Functions.name))


def _measure(this: Round) -> None:
    seconds, connections = max(1, round(this.sizes.seconds)), this.sizes.connections
    with running(ALL["pacifica"], this.servers) as live, group(live.folder, {}) as spies:
        dispatch_for(live, this.sizes.warm_up, connections)
        for way in WAYS:
            watched = {f"{process}-{way}": pid for process, pid in _watched(live).items()}
            started = {row: _spy(spies, live.folder, row, pid, seconds) for row, pid in watched.items()}
            dispatch_for(live, seconds, connections)
            for row, spy in started.items():
                this.record(row, **figures(_seen(spy, live.folder / f"{row}.raw", seconds), seconds))


def _watched(live: Live) -> Mapping[str, int]:
    web, worker = (
        next(process for process in live.processes.processes if process.name == name).popen.pid
        for name in ("web", "worker")
    )
    # gunicorn's master serves nothing.
    return {"web": family([web])[1], "main": worker, "child": family([worker])[1]}


def _spy(spies: Group, folder: Path, row: str, pid: int, seconds: int) -> Process:
    how = ["--format", "raw", "--full-filenames", "--function", "--rate", str(RATE), *OPTIONS[row.partition("-")[2]]]
    what: list[str | Path] = ["--pid", str(pid), "--duration", str(seconds), "--output", folder / f"{row}.raw"]
    return spies.start(Command(f"spy-{row}", [SPY, "record", *how, *what]))


def _seen(spy: Process, file: Path, seconds: int) -> stacks.Stacks:
    spy.popen.wait(seconds + 60)
    told = spy.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    assert file.exists(), f"py-spy saw nothing: {told[-1] if told else ''}"
    found = stacks.read(file.read_text(encoding="utf-8", errors="replace"))
    assert found, f"{spy.name} saw nothing done"
    return found


def _text(results: Results, row: str) -> str:
    title = Functions.rows[row]
    head = f"{title[0].upper()}{title[1:]}: the {SHOWN} functions with the most time of their own"
    return stacks.table(head, sorted(_functions(results, row), key=lambda one: one[1:], reverse=True)[:SHOWN])


def _functions(results: Results, row: str) -> Iterator[tuple[str, float, float]]:
    of_row = [one.figure for one in results.records if (one.scene, one.row) == (Functions.name, row)]
    for figure in dict.fromkeys(of_row):
        kind, _, name = figure.partition(" ")
        if kind == OWN and name not in NAMES:
            own, whole = (spread(results.rounds(Functions.name, row, f"{of} {name}").values()) for of in (OWN, WHOLE))
            if own and whole:
                yield name, own.median, whole.median
