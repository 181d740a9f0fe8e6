"""The retries and the children of a job. No index finds them, so only a part of the later jobs is searched."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import peewee

from .. import orm
from ..core.job import Job, State

_J = orm.Job
LOOKED_AT = 300
"""The number of jobs that each of the two searches reads."""


class RelatedJob(NamedTuple):
    """A job as another one refers to it."""

    uuid: str
    task: str
    state: State
    created: int
    caller: str

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> "RelatedJob":
        return cls(row[0], row[1], State(row[2]), row[3], row[4])


def retry_queries(job: Job) -> Sequence[peewee.Query]:
    """A query for the retries among the first jobs of the task after this one, and one for those among the newest."""
    columns = _J.uuid, _J.task, _J.state, _J.created, _J.caller, _J.replay_of
    later = _J.select(*columns).where(_later_of_task(job))
    first = later.order_by(_J.created, _J.uuid).limit(LOOKED_AT)
    newest = later.order_by(_J.created.desc(), _J.uuid.desc()).limit(LOOKED_AT)
    return [_retries(job.uuid, first.alias("near")), _retries(job.uuid, newest.alias("near"))]


def children_query(job: Job) -> peewee.Query:
    """A query for the jobs whose parent this job is, among the next jobs of any task after the start of its attempt."""
    later = _J.select(_J.uuid, _J.task, _J.state, _J.created, _J.caller, _J.headers).where(_J.created >= job.started)
    near: Any = later.order_by(_J.created, _J.uuid).limit(LOOKED_AT).alias("near")
    query: peewee.Query = near.select_from(*_columns(near)).where(near.c.headers ** f'%"parent_id":"{job.uuid}"%')
    return query


def beyond_queries(job: Job) -> Sequence[peewee.Query]:
    """A query for the first job that is not searched for retries, and if the job has started, for children."""
    limits = [(_later_of_task(job), 2 * LOOKED_AT)]
    limits += [] if job.started is None else [(_J.created >= job.started, LOOKED_AT)]
    found = [_J.select(_J.uuid).where(later).order_by(_J.created, _J.uuid) for later, _ in limits]
    return [query.offset(number).limit(1) for query, (_, number) in zip(found, limits, strict=True)]


def _later_of_task(job: Job) -> Any:
    return (_J.task == job.task) & (_J.created > job.created)


def _columns(near: Any) -> Sequence[Any]:
    return near.c.uuid, near.c.task, near.c.state, near.c.created, near.c.caller


def _retries(uuid: str, near: Any) -> peewee.Query:
    query: peewee.Query = near.select_from(*_columns(near)).where(near.c.replay_of == uuid)
    return query
