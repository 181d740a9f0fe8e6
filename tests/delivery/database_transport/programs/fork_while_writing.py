"""Fork children while threads write to an SQLite database: ``fork_while_writing.py URL``.

Each child writes its line twice, before and after the parent closes its connections. Prints whether all children
ended well and all their lines are in the table.
"""

import os
import sys
import threading

from pacifica.dispatcher.store.database import Database

CHILDREN = range(1, 21)
database = Database(sys.argv[1])
stop = threading.Event()


def insert(line: int) -> None:
    """Write one row."""
    database.write(lambda db: db.execute_sql("INSERT INTO seen VALUES (?)", (line,)))


def write_until_stopped() -> None:
    """Write rows all the time."""
    while not stop.is_set():
        insert(0)
    database.close()


def run_child(closed: int, line: int) -> None:
    """Write a row, wait until the parent has closed its connections, and write it again."""
    insert(line)
    os.read(closed, 1)
    insert(line)
    os._exit(0)


def fork_children() -> list[int]:
    """Fork while threads write, and return the exit statuses."""
    threads = [threading.Thread(target=write_until_stopped) for _ in range(3)]
    for thread in threads:
        thread.start()
    closed, closing = os.pipe()
    children = []
    for line in CHILDREN:
        children.append(os.fork())
        if children[-1] == 0:
            os.close(closing)
            run_child(closed, line)
    stop.set()
    for thread in threads:
        thread.join()
    database.close()
    os.close(closing)
    return [os.waitpid(child, 0)[1] for child in children]


def main() -> None:
    """Run the whole program."""
    database.wait_until_up(1, 0.0)
    database.write(lambda db: db.execute_sql("CREATE TABLE seen (line INTEGER)"))
    statuses = fork_children()
    query = "SELECT line FROM seen WHERE line > 0 ORDER BY line"
    rows = Database(sys.argv[1]).read(lambda db: db.execute_sql(query).fetchall())
    expected = [line for line in CHILDREN for _ in range(2)]
    sys.stdout.write(f"{statuses == [0] * len(CHILDREN) and [line for (line,) in rows] == expected}\n")


if __name__ == "__main__":
    main()
