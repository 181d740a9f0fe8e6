"""The folder in which the processes of one service add up their metrics; the process that starts them makes it."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

METRICS = "PROMETHEUS_MULTIPROC_DIR"
OURS = "pacifica-dispatcher-metrics-"


def prepare(user: int, group: int) -> None:
    """Name a new folder of this user in the environment, unless that names one already; raises ``OSError``.

    A process that has replaced an earlier one finds the folder of that one in its environment, and makes its own.
    """
    named = os.environ.pop(METRICS, "")
    if named and not Path(named).name.startswith(OURS):
        os.environ[METRICS] = named
        return
    _remove_left_behind({user, os.geteuid()})
    os.environ[METRICS] = _make_folder(user, group)


def remove() -> None:
    """Remove the folder, unless the user has named it."""
    folder = os.environ.get(METRICS, "")
    if Path(folder).name.startswith(OURS):
        shutil.rmtree(folder, ignore_errors=True)


def _make_folder(user: int, group: int) -> str:
    """Make a folder of the workers' user; its lock is held until this process and its children have ended.

    It gets its final name last, so a folder with that name is either locked or left behind. systemd-tmpfiles spares
    a locked folder, too.
    """
    made = Path(tempfile.mkdtemp(prefix=f"new-{OURS}"))
    os.chown(made, user, group)
    fcntl.flock(os.open(made, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    return str(made.rename(made.with_name(made.name.removeprefix("new-"))))


def _remove_left_behind(users: Collection[int]) -> None:
    """Remove the folders of masters that were killed, but no links and no folders of other users."""
    for folder in Path(tempfile.gettempdir()).glob(f"{OURS}*"):
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if os.fstat(descriptor).st_uid in users:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # Its master is alive.
            continue
        finally:
            os.close(descriptor)
