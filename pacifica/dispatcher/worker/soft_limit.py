"""The soft time limit of a job, which interrupts its function and nothing else.

billiard sends SIGUSR1 to the pool process when the limit is over, whatever that process is doing then. Its own
handler raises ``SoftTimeLimitExceeded`` there: between the end of the function and the stored report, inside a
transaction, or in the loop that waits for the next job. The hard time limit stays the last resort.
"""

from types import FrameType

from billiard import pool
from celery import current_task
from celery.exceptions import SoftTimeLimitExceeded

from ..core.interruption import UNINTERRUPTED


def install() -> None:
    """Make billiard use the handler in each pool process that it starts from now on."""
    pool.soft_timeout_sighandler = on_soft_limit


def on_soft_limit(_number: int, _frame: FrameType | None) -> None:
    """Interrupt the function of the job; a limit that is over before the function begins interrupts it at once.

    Between two jobs nothing happens. A plain Celery task is interrupted wherever it is, as without this package.
    """
    if UNINTERRUPTED.in_attempt:
        UNINTERRUPTED.interrupt(SoftTimeLimitExceeded())
    elif current_task:
        raise SoftTimeLimitExceeded
