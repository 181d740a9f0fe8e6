"""Tasks whose function is ``async def``: an event loop for each attempt, in the thread that runs it."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded

Function = Callable[..., Any]


class LoopInUse(RuntimeError):
    """The pool runs an event loop, or greenlets, in the thread of the job."""


def plain_function(function: Function) -> Function:
    """A function that runs the coroutine function in a new event loop, and returns what the coroutine returns.

    Where an event loop is running, it returns the coroutine: the function of another ``async def`` task awaits it.

    An exception that Celery raises in the thread, such as ``SoftTimeLimitExceeded``, cancels the coroutine, which may
    clean up; then the exception goes on to Celery.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        coroutine = function(*args, **kwargs)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return _run(coroutine)
        return coroutine

    return run


def refuse_coroutine(result: Any) -> None:
    """Raise ``LoopInUse`` for the result of a job that is a coroutine, which no one has run."""
    if inspect.iscoroutine(result):
        result.close()
        raise LoopInUse(
            "The function returned a coroutine that was not run. A task that is `async def` needs the pool prefork,"
            " threads or solo, as an event loop cannot run in several greenlets; any other function must await it."
        )


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    interruptions: list[BaseException] = []
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        main = loop.create_task(coroutine)

        def on_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            # A signal's handler raises wherever the thread is. In a callback of the loop, asyncio would only log it.
            error = context.get("exception")
            if isinstance(error, SoftTimeLimitExceeded):
                interruptions.append(error)
                main.cancel()
            else:
                loop.default_exception_handler(context)

        loop.set_exception_handler(on_error)
        try:
            return loop.run_until_complete(main)
        except asyncio.CancelledError:
            if interruptions:
                raise interruptions[0] from None
            raise
