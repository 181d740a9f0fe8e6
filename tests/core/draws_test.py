"""Random bytes that are drawn by the block."""

import os
import threading

import pytest

from pacifica.dispatcher.core.draws import BLOCK, Draws


def test_each_byte_is_given_once() -> None:
    draws = Draws()
    taken: list[bytes] = []
    threads = [threading.Thread(target=lambda: taken.extend(draws.take(8) for _ in range(BLOCK))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == 4 * BLOCK
    assert {len(one) for one in taken} == {8}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_child_draws_anew() -> None:
    draws = Draws()
    draws.take(8)
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, draws.take(16))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 16) != draws.take(16)
    os.close(reading)
    os.close(writing)
