"""Imports the modules that the arguments name, and exits with a message at the first that does something else, too.

An audit hook cannot be removed again, so this is a process of its own.
"""

import importlib
import os
import re
import sys
from pathlib import Path
from typing import Any

OURS = re.compile(r"DISPATCHER_|(BROKER|PEEWEE)_URL$")
NETWORK_AND_DATABASE = {"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "sqlite3.connect"}
PROCESSES = {"subprocess.Popen", "os.fork", "os.system", "os.exec", "os.posix_spawn"}
FILES = {"os.mkdir", "os.remove", "os.rename", "shutil.copyfile"}

read_variable = type(os.environ).__getitem__
done: list[str] = []


def watch_variable(environ: Any, name: str) -> str:
    """Read a variable, and note it when it is a setting of ours."""
    if OURS.match(name):
        done.append(f"read of the environment: {name}")
    return read_variable(environ, name)


def watch_event(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what a module does beside being imported."""
    if (event, arguments[1:]) == ("socket.bind", (("::1", 0),)):
        return  # urllib3 finds out whether there is IPv6.
    if event in NETWORK_AND_DATABASE:
        done.append(f"{event} {arguments[1:]}")
    elif event in PROCESSES:
        done.append(event)
    elif event in FILES:
        done.append(f"{event} {arguments}")
    elif event == "open":
        watch_open(str(arguments[0]), arguments[1], arguments[2])


def watch_open(name: str, mode: str | None, flags: int | None) -> None:
    """Note each file that is written, and each that is a configuration or a database."""
    writes = set(mode or "") & set("wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR)
    if (writes and name != os.devnull) or name.endswith((".ini", ".conf", ".sqlite3")):
        done.append(f"open {name} {mode}")


type(os.environ).__getitem__ = watch_variable  # type: ignore[method-assign]
sys.path.insert(0, str(Path.cwd()))
sys.dont_write_bytecode = True
sys.addaudithook(watch_event)
for module in sys.argv[1:]:
    importlib.import_module(module)
    if done:
        sys.exit(f"importing {module} did: {'; '.join(done)}")
