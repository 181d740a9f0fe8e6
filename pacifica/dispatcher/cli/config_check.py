"""What is wrong with a configuration that its text does not show: what it names is missing, or does not load."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from celery.utils.imports import import_from_cwd
from kombu.connection import Connection

from ..config.ini import Given, Name
from ..config.settings import SECTIONS
from ..core.faults import ConfigFault
from ..core.redaction import mask_value
from ..store.connections.connect import check_installed, sqlite_file


def missing_parts(given: Mapping[Name, Given]) -> list[ConfigFault]:
    """A fault for each task module, broker transport, database driver and folder that cannot be used.

    ``given`` are the settings that are not left at their default. Task modules are imported, as by a server
    that starts in this working directory. What is no valid value is passed over: ``parse`` tells of it.
    """
    return [fault for name, look in _LOOKS.items() for fault in _faults(name, look, given.get(name))]


def _faults(name: Name, look: Callable[[object], Iterable[str]], given: Given | None) -> Iterable[ConfigFault]:
    written = {} if given is None else {name.key: given.text}
    try:
        value = getattr(SECTIONS[name.section].model_validate(written), name.key)
    except ValueError:
        return
    text, origin = given or (str(value), "default")
    for message in look(value):
        yield ConfigFault(*name, mask_value(name.key, text), f"{message} (from {origin})")


def _modules(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        try:
            _attempt(partial(import_from_cwd, name))
        except ValueError as error:
            yield f"the module {name} cannot be imported in {Path.cwd()}: {error}"


def _broker(urls: str) -> Iterable[str]:
    for url in urls.split(";"):
        if url.startswith("database:"):  # The transport is our own.
            continue
        try:
            _attempt(partial(_transport, url))
        except ValueError as error:
            yield f"its transport cannot be used: {error}"


def _transport(url: str) -> object:
    return Connection(url).transport


def _database(url: str) -> Iterable[str]:
    try:
        check_installed(url)
    except ValueError as error:
        yield str(error)
    file = sqlite_file(url)
    if file is not None and not file.parent.is_dir():
        yield f"there is no folder {file.parent}"


def _attempt(action: Callable[[], object]) -> None:
    """Raises ``ValueError`` for whatever somebody else's code raises when it is loaded."""
    try:
        action()
    except Exception as error:
        raise ValueError(" ".join(map(str, error.args)) or type(error).__name__) from error


_LOOKS: Mapping[Name, Callable[..., Iterable[str]]] = {
    Name("database", "peewee_url"): _database,
    Name("celery", "broker_url"): _broker,
    Name("dispatcher", "tasks"): _modules,
}
