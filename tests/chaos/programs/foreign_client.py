"""A program without the dispatcher that sends jobs with ``delay``: it has plain Celery tasks of the same names.

Its arguments are the broker's URL, the seconds between two jobs on average, and a seed. It prints a line for each job
that the broker has confirmed, with UUID, token and n. SIGTERM ends it after the job at hand. A publish that raises is
repeated with the same id.
"""

import random
import signal
import sys
import threading
import time
import uuid

from celery import Celery

url, pause, seed = sys.argv[1], float(sys.argv[2]), sys.argv[3]
app = Celery("elsewhere", broker=url)
app.conf.update(
    task_default_queue="dispatcher",
    task_queue_max_priority=9,
    task_ignore_result=True,
    broker_connection_timeout=2,
)
if "amqp" in url.partition(":")[0]:
    app.conf.broker_transport_options = {"confirm_publish": True}


@app.task(name="work")
def work(token, n, seconds=0.0, failures=0):
    """Stand for the function that the workers have."""


stopping, chance, count = threading.Event(), random.Random(seed), 0
signal.signal(signal.SIGTERM, lambda *_: stopping.set())
while not stopping.wait(chance.uniform(0, 2 * pause)):
    count += 1
    task_id, n = str(uuid.uuid4()), chance.randrange(10**6)
    args = (f"foreign-{count}", n)
    if chance.random() < 0.3:
        args += (chance.choice([0.0, 0.0, 0.1, 0.6]), chance.choice([0, 0, 0, 2]))
    options = {"countdown": 1.0} if chance.random() < 0.2 else {"priority": 3} if chance.random() < 0.2 else {}
    while True:
        try:
            work.apply_async(args, task_id=task_id, **options)
        except Exception as error:
            print("repeated after", type(error).__name__, error, flush=True)
            time.sleep(0.1)
        else:
            break
    print("confirmed", task_id, *args[:2], flush=True)
