"""Who uses how much processor time: the web server, the worker, the servers beside them, and the client."""

import resource
from collections.abc import Collection, Mapping

from .processes import cpu, family, machine_cpu
from .servers import POSTGRESQL, RABBITMQ, REDIS, Servers
from .systems.system import Live, System

WEB, WORKER, BROKER, STORE, CLIENT = "web", "worker", "broker", "store", "client"
MAIN = "main"
"""Of the worker, the process that was started, without those that it has started."""
MACHINE = "machine"
SERVERS: Mapping[str, str] = {RABBITMQ: BROKER, REDIS: STORE, POSTGRESQL: STORE}


def parts_of(system: System) -> list[str]:
    """What its jobs cost; a system has no part of a server that it does not need."""
    return list(dict.fromkeys([WEB, WORKER, *(SERVERS[server] for server in system.needs), CLIENT]))


def used(live: Live, servers: Servers) -> dict[str, float]:
    """Seconds of each part until now, and of all cores; a server that is not on this machine has no entry."""
    web = [process.popen.pid for process in live.processes.processes if process.name == "web"]
    workers = [process.popen.pid for process in live.processes.processes if process.name != "web"]
    found = {WEB: cpu(family(web)), WORKER: cpu(family(workers)), MAIN: cpu(workers)}
    for server in live.system.needs:
        found |= server_used(servers, server)
    return found | {CLIENT: client_used(), MACHINE: machine_cpu()}


def server_used(servers: Servers, server: str) -> dict[str, float]:
    """Seconds of that server's processes until now, as a part; empty where it is not on this machine."""
    pids = servers.pids(server)
    return {SERVERS[server]: cpu(family(pids))} if pids else {}


def client_used() -> float:
    """Seconds of all programs that this one has run and that have ended, as wrk has."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def each(before: Mapping[str, float], after: Mapping[str, float], number: float) -> dict[str, float]:
    """Milliseconds of each part between the two, for each of so many jobs."""
    return {part: (after[part] - before[part]) * 1e3 / number for part in after if part in before}


def bounds(costs: Mapping[str, float], parts: Collection[str], rate: float, cores: int) -> dict[str, float]:
    """What milliseconds per job say of the rate; nothing where one of the parts is not known.

    ``best`` is the rate at which these parts alone keep all cores busy, ``busy`` the percentage of the cores that
    they had at ``rate``, and ``beside`` what anything else used of the cores, as milliseconds per job.
    """
    if not costs.keys() >= set(parts):
        return {}
    total = sum(costs[part] for part in parts)
    found = {"sum": total, "best": cores * 1e3 / total, "busy": rate * total / 1e3 / cores * 100}
    return found | ({"beside": max(0.0, costs[MACHINE] - total)} if MACHINE in costs else {})
