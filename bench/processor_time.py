"""How much processor time each part uses: the web server, the worker, the servers, and the client."""

import resource
from collections.abc import Mapping

from .processes import family, processor_seconds
from .servers import POSTGRESQL, RABBITMQ, REDIS, Servers
from .systems.system import Running

WEB, WORKER, CLIENT = "cpu_web", "cpu_worker", "cpu_client"
SERVERS = {RABBITMQ: "cpu_rabbitmq", REDIS: "cpu_redis", POSTGRESQL: "cpu_postgresql"}
SUM = "cpu_sum"


def used(running: Running, servers: Servers) -> dict[str, float]:
    """Return the seconds of each part so far; a server that is not on this machine has no entry."""
    web = [one.popen.pid for one in running.processes.processes if one.name == "web"]
    workers = [one.popen.pid for one in running.workers()]
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {WEB: processor_seconds(family(web)), WORKER: processor_seconds(family(workers))}
    for server in running.system.needs:
        if pids := servers.pids(server):
            found[SERVERS[server]] = processor_seconds(family(pids))
    return found | {CLIENT: ended.ru_utime + ended.ru_stime}


def per_job(before: Mapping[str, float], after: Mapping[str, float], jobs: int) -> dict[str, float]:
    """Return the milliseconds of a core that each part has used per job between the two, and their sum."""
    found = {part: (after[part] - before[part]) * 1e3 / jobs for part in after}
    return found | {SUM: sum(found.values())}
