"""The systems that are compared, by name."""

from collections.abc import Mapping

from .durable import FastapiDbosPostgresql, FastapiDbosSqlite, FastapiPgqueuer, FastapiProcrastinate
from .pacifica import PacificaEmbedded, PacificaPostgresql, PacificaRabbitmq
from .peers import (
    FastapiArq,
    FastapiCeleryPostgresql,
    FastapiCeleryRedis,
    FastapiDramatiq,
    FlaskHuey,
    FlaskRq,
    Flower,
)
from .system import System


def _by_name(*systems: System) -> dict[str, System]:
    return {system.name: system for system in systems}


DURABLE: Mapping[str, System] = _by_name(
    FastapiCeleryPostgresql(), FastapiProcrastinate(), FastapiPgqueuer(), FastapiDbosPostgresql(), FastapiDbosSqlite()
)
"""The peers that keep a job, or at least its result, in a database."""
PEERS: Mapping[str, System] = {
    **_by_name(Flower(), FastapiCeleryRedis(), FlaskRq(), FlaskHuey(), FastapiArq(), FastapiDramatiq()),
    **DURABLE,
}
ALL: Mapping[str, System] = {**PEERS, **_by_name(PacificaRabbitmq(), PacificaPostgresql(), PacificaEmbedded())}
