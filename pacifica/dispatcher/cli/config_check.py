"""Checks that the modules, drivers, transports and directories that a configuration names can be used."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from ..config.ini import Given, Name
from ..config.settings import SECTIONS, Settings
from ..container import Container
from ..core.errors import ConfigError
from ..core.faults import ConfigFault
from ..core.redaction import mask_value
from ..delivery.broker_probe import load_transport
from ..store.connections.connect import check_installed, sqlite_file
from ..worker.task_modules import module_fault


def missing_parts(given: Mapping[Name, Given]) -> list[ConfigFault]:
    """A fault for each task module, broker transport, database driver and directory that cannot be used.

    ``given`` are the settings that differ from their default. Task modules are imported as a server does that starts
    in this working directory. An invalid value is skipped, as ``parse`` reports it.
    """
    return [fault for name, check in _CHECKS.items() for fault in _faults(name, check, given.get(name))]


def _faults(name: Name, check: Callable[[object], Iterable[str]], given: Given | None) -> Iterable[ConfigFault]:
    written = {} if given is None else {name.key: given.text}
    try:
        value = getattr(SECTIONS[name.section].model_validate(written), name.key)
    except ValueError:
        return
    text, origin = given or (str(value), "default")
    for message in check(value):
        yield ConfigFault(*name, mask_value(name.key, text), f"{message} (from {origin})")


def unusable_tasks(settings: Settings) -> tuple[list[str], list[str]]:
    """Build the registry as a server does: its faults, and the warnings about modules without tasks.

    A server starts without an application, or a module of one, that cannot be imported; here that is a fault.
    """
    container = Container(lambda: settings)
    try:
        found = [*container.registry.unusable.values(), *map(str, container.app.missing)]
        return found, container.app.remarks()
    except ConfigError as error:
        return [str(fault) for fault in error.faults], []


def _modules(names: Iterable[str]) -> Iterable[str]:
    return (fault.message for name in names if (fault := module_fault(name)) is not None)


def _broker(urls: str) -> Iterable[str]:
    for url in urls.split(";"):
        is_ours = url.startswith("database:")  # It needs no package.
        if not is_ours and (failure := _failure(partial(load_transport, url))):
            yield f"its transport cannot be used: {failure}"


def _database(url: str) -> Iterable[str]:
    if failure := _failure(partial(check_installed, url)):
        yield failure
    file = sqlite_file(url)
    if file is not None and not file.parent.is_dir():
        yield f"there is no directory {file.parent}"


def _failure(action: Callable[[], object]) -> str:
    """Run the code of other packages; returns the text of its exception, or an empty text."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - an imported module may raise anything
        return " ".join(map(str, error.args)) or type(error).__name__
    return ""


_CHECKS: Mapping[Name, Callable[..., Iterable[str]]] = {
    Name("database", "peewee_url"): _database,
    Name("celery", "broker_url"): _broker,
    Name("dispatcher", "tasks"): _modules,
}
