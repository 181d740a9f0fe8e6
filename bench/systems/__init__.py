"""The systems that are compared, by name."""

from collections.abc import Mapping

from .fastapi_arq import FastapiArq
from .fastapi_celery_redis import FastapiCeleryRedis
from .fastapi_celery_sqlite import FastapiCelerySqlite
from .fastapi_dramatiq import FastapiDramatiq
from .flask_huey import FlaskHuey
from .flask_rq import FlaskRq
from .flower import Flower
from .pacifica import Pacifica, PacificaEmbedded, PacificaPostgresql, PacificaServer, PacificaSolo
from .system import System

ALL: Mapping[str, System] = {
    system.name: system
    for system in (
        Flower(),
        FastapiCeleryRedis(),
        FastapiCelerySqlite(),
        FlaskRq(),
        FlaskHuey(),
        FastapiArq(),
        FastapiDramatiq(),
        Pacifica(),
        PacificaServer(),
        PacificaEmbedded(),
        PacificaSolo(),
        PacificaPostgresql(),
    )
}
