"""A process that forks: neither connections nor what SQLite remembers of them cross over."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, sys, threading
from pacifica.dispatcher.store.database import Database

database = Database(sys.argv[1])
database.wait_until_up(1, 0.0)
database.write(lambda db: db.execute_sql("CREATE TABLE seen (line INTEGER)"))
stop = threading.Event()

def insert(line):
    database.write(lambda db: db.execute_sql("INSERT INTO seen VALUES (?)", (line,)))

def write():
    while not stop.is_set():
        insert(0)
    database.close()

def child(closed, line):
    insert(line)
    os.read(closed, 1)  # until the parent has closed its connections
    insert(line)
    os._exit(0)

threads = [threading.Thread(target=write) for _ in range(3)]
for thread in threads:
    thread.start()
closed, closing = os.pipe()
children = []
for line in range(1, 21):
    children.append(os.fork())
    if children[-1] == 0:
        os.close(closing)
        child(closed, line)
stop.set()
for thread in threads:
    thread.join()
database.close()
os.close(closing)
status = [os.waitpid(one, 0)[1] for one in children]
database = Database(sys.argv[1])
found = database.read(lambda db: db.execute_sql("SELECT line FROM seen WHERE line > 0 ORDER BY line").fetchall())
print(status == [0] * 20 and [line for (line,) in found] == [line for line in range(1, 21) for _ in "12"])
"""


@pytest.mark.slow
def test_what_a_forked_child_writes_is_kept_although_threads_of_the_parent_wrote_at_the_fork(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, f"sqliteext:///{tmp_path}/db.sqlite3"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")
