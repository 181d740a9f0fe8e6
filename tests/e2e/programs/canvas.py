"""Calls tasks from Python in each way that Celery has, and prints the results as JSON."""

import json

from celery import chain, chord, group

from pacifica.dispatcher.tasks import CELERY_APP as app

app.registry
add, mul, fail = (app.tasks[name] for name in ("add", "mul", "fail"))
one = add.delay(2, 2)
many = group(add.s(i, i) for i in range(3))()
try:
    fail.delay("seen").get(timeout=30)
except RuntimeError as error:
    seen = str(error)
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
        }
    )
)
