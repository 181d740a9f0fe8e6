"""The systems that are compared, by name."""

from collections.abc import Mapping

from .pacifica import Pacifica, PacificaEmbedded, PacificaServer, PacificaSolo
from .peers import (
    FastapiArq,
    FastapiCeleryRedis,
    FastapiCelerySqlite,
    FastapiDramatiq,
    FlaskHuey,
    FlaskRq,
    Flower,
)
from .system import System

PEERS: Mapping[str, System] = {
    system.name: system
    for system in (
        Flower(),
        FastapiCeleryRedis(),
        FastapiCelerySqlite(),
        FlaskRq(),
        FlaskHuey(),
        FastapiArq(),
        FastapiDramatiq(),
    )
}
ALL: Mapping[str, System] = PEERS | {
    system.name: system for system in (Pacifica(), PacificaSolo(), PacificaServer(), PacificaEmbedded())
}
