"""``parse``, which makes ``Settings`` of texts.

A value comes from the first of these that has one: command line, environment, ``config.ini``, the
option's default. Reading any of them is another module's work; nothing here touches the world.
"""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from ..core.errors import ConfigError
from ..core.faults import ConfigFault
from ..core.redaction import mask_passwords, mask_value
from .ini import Given, IniText, Name, PlaceFault, read_ini
from .settings import (
    ENVIRONMENT,
    FORBIDDEN,
    OPTIONS,
    SECTIONS,
    AuthSettings,
    DatabaseSettings,
    DispatcherSettings,
    LoggingSettings,
    RetentionSettings,
    Settings,
)

_KINDS = {Name(option.section, option.key): option.kind for option in OPTIONS}


def parse(
    text: str | None,
    environ: Mapping[str, str],
    overrides: Mapping[tuple[str, str], str],
    *,
    celery_types: Mapping[str, Callable[[str], object]],
    source: str = "config.ini",
) -> Settings:
    """The settings that these texts make; raises a ``ConfigError`` with every fault that they have.

    ``celery_types`` converts the values of ``[celery]``; it refuses one with a ``ValueError`` that says
    why and does not quote it. ``source`` is what messages call ``text``. A variable that is empty counts
    as not set. A value that a later source replaces is not looked at.
    """
    ini = read_ini(text or "", source)
    given = given_values(ini, environ, overrides)
    strange = [_unknown_section(section, source) for section in ini.sections if section not in SECTIONS]
    values, wrong = _convert(given, celery_types)
    if faults := [*ini.faults, *strange, *wrong, *_forbidden(environ)]:
        raise ConfigError(faults)
    chosen = {
        section: {name.key: value for name, value in values.items() if name.section == section} for section in SECTIONS
    }
    return Settings(
        database=DatabaseSettings(**chosen["database"]),
        celery=MappingProxyType(chosen["celery"]),
        dispatcher=DispatcherSettings(**chosen["dispatcher"]),
        auth=AuthSettings(**chosen["auth"]),
        logging=LoggingSettings(**chosen["logging"]),
        retention=RetentionSettings(**chosen["retention"]),
    )


def logging_settings(text: str, environ: Mapping[str, str], source: str = "config.ini") -> LoggingSettings:
    """What ``parse`` makes of ``[logging]``, for who is not to import Celery: its settings are not judged."""
    theirs = {name.key: str for name in read_ini(text, source).values if name.section == "celery"}
    return parse(text, environ, {}, celery_types=theirs, source=source).logging


def given_values(
    ini: IniText, environ: Mapping[str, str], overrides: Mapping[tuple[str, str], str]
) -> dict[Name, Given]:
    """Each setting that is not left at its default, with the source that wins; nothing is judged."""
    given = ini.values | _environment(environ)
    return given | {Name(*name): Given(value, "command line") for name, value in overrides.items()}


def example_ini() -> str:
    """The text of a ``config.ini`` that sets every option to its default, and says what each is for."""
    lines = [
        "# Pacifica Dispatcher: every setting with its default. What is left out keeps its default.",
        "# The environment (BROKER_URL, PEEWEE_URL) and the command line replace what stands here.",
    ]
    for section in SECTIONS:
        lines += ["", f"[{section}]"]
        for option in OPTIONS:
            if option.section == section:
                lines += [f"# {option.why}", f"{option.key} = {option.default}".rstrip()]
        if section == "celery":
            lines += ["# Any other Celery setting by its own lower-case name, such as: worker_concurrency = 2"]
    return "\n".join(lines) + "\n"


def _environment(environ: Mapping[str, str]) -> dict[Name, Given]:
    return {
        name: Given(environ[variable], f"environment {variable}")
        for variable, name in ENVIRONMENT.items()
        if environ.get(variable)
    }


def _forbidden(environ: Mapping[str, str]) -> Iterable[PlaceFault]:
    if environ.get(FORBIDDEN):
        message = "Celery would write results there instead of [database]; unset it, and RESULT_BACKEND"
        yield PlaceFault("", "", f"environment {FORBIDDEN}", message)


def _convert(
    given: Mapping[Name, Given], celery_types: Mapping[str, Callable[[str], object]]
) -> tuple[dict[Name, Any], list[ConfigFault]]:
    kinds: dict[Name, Callable[[str], object]] = {Name("celery", key): kind for key, kind in celery_types.items()}
    kinds |= _KINDS
    values: dict[Name, Any] = {Name(*option[:2]): option.kind(option.default) for option in OPTIONS}
    faults: list[ConfigFault] = []
    for name, (text, origin) in given.items():
        if name not in kinds:
            if name.section in SECTIONS or origin == "command line":
                faults.append(_fault(name, text, origin, _unknown_key(name, kinds)))
            continue
        try:
            values[name] = kinds[name](text)
        except ValueError as error:
            faults.append(_fault(name, text, origin, mask_passwords(str(error))))
    return values, faults


def _fault(name: Name, text: str, origin: str, message: str) -> ConfigFault:
    """The value is shown on one line, shortened, and without what may be a password."""
    shown = mask_value(name.key, text).replace("\n", "\\n")
    shown = shown if len(shown) <= 200 else f"{shown[:200]}…"
    return ConfigFault(name.section, name.key, shown, f"{message} (from {origin})")


def _unknown_section(section: str, source: str) -> PlaceFault:
    near = get_close_matches(section.lower(), SECTIONS, 1)
    hint = f"did you mean [{near[0]}]?" if near else f"the sections are [{'], ['.join(SECTIONS)}]"
    return PlaceFault(section, "", f"[{section}]", f"there is no such section; {hint} (from {source})")


def _unknown_key(name: Name, known: Iterable[Name]) -> str:
    """Why there is no such setting: a near name, else the section that has it, else all names of the section."""
    keys = [key for section, key in known if section == name.section]
    elsewhere = [section for section, key in known if key == name.key]
    if near := get_close_matches(name.key, keys, 3, 0.7):
        return f"there is no such setting; did you mean {' or '.join(near)}?"
    if elsewhere:
        return f"there is no such setting here; [{elsewhere[0]}] has it"
    listed = [option.key for option in OPTIONS if option.section == name.section] or [f"[{each}]" for each in SECTIONS]
    more = " and whatever Celery names" if name.section == "celery" else ""
    return f"there is no such setting; there is {', '.join(listed)}{more}"
