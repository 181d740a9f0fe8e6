"""Calls tasks from Python in each way that Celery has, and prints the results as JSON."""

import json

from celery import chain, chord, group

from pacifica.dispatcher.core.errors import UnknownTask
from pacifica.dispatcher.tasks import CELERY_APP as app

app.registry
add, mul, fail = (app.tasks[name] for name in ("add", "mul", "fail"))
one = add.delay(2, 2)
many = group(add.s(i, i) for i in range(3))()
try:
    fail.delay("seen").get(timeout=30)
except RuntimeError as error:
    seen = str(error)
try:
    app.send_task("addd", (1, 2))
except UnknownTask as error:
    unknown = str(error)
failed = {
    "failed_chord": chord([fail.s("header"), add.s(1, 1)], app.tasks["echo"].s())(),
    "failed_chain": chain(fail.s("step"), add.s(1), mul.s(2))(),
}
for result in failed.values():
    result.parent = None  # Only the result's own row is read.
print(
    json.dumps(
        {
            "uuid": one.id,
            "one": one.get(timeout=30),
            "chain": chain(add.s(1, 2), mul.s(10))().get(timeout=30),
            "group": many.get(timeout=30),
            "chord": chord([add.s(1, 1), add.s(2, 2)], app.tasks["echo"].s())().get(timeout=30),
            "later": add.apply_async((2, 3), countdown=1).get(timeout=30),
            "seen": seen,
            "called": add(1, 2),
            "eager": add.apply((3, 4)).get(),
            "map": app.tasks["echo"].map([1, "a"]).delay().get(timeout=30),
            "starmap": add.starmap([(1, 2), (3, 4)]).delay().get(timeout=30),
            "chunks": add.chunks([(1, 2), (3, 4), (5, 6)], 2)().get(timeout=30),
            "named": app.send_task("add", (2, 5), countdown=0.1).get(timeout=30),
            "unknown": unknown,
            "signature": app.signature("add", (2, 6)).apply_async().get(timeout=30),
            **{name: type(result.get(timeout=30, propagate=False)).__name__ for name, result in failed.items()},
            "ids": {name: result.id for name, result in failed.items()},
        }
    )
)
