"""Makes ``Settings`` from texts; reads neither a file nor the environment itself.

The value of a setting comes from the first of these that has one: environment, ``config.ini``, default.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from ..core.errors import ConfigError
from ..core.faults import ConfigFault
from ..core.redaction import mask_passwords, mask_value
from .ini import Given, IniText, Name, PlaceFault, read_ini
from .settings import ENVIRONMENT, SECTIONS, BrokerSettings, LoggingSettings, Section, Settings

LONGEST_VALUE = 200
"""Characters of a value that a fault shows."""


class UncheckedCelery(BrokerSettings, extra="allow"):
    """The section ``[celery]`` for a process that must not import Celery: any setting is accepted."""


def parse(
    text: str,
    environ: Mapping[str, str],
    *,
    celery: type[BrokerSettings],
    source: str = "config.ini",
) -> Settings:
    """The settings that ``config.ini`` and the environment specify; raises ``ConfigError`` with all their faults.

    ``celery`` is the model of ``[celery]``, and ``source`` the name of ``text`` in messages. An empty environment
    variable counts as not set. A value that the environment replaces is not checked.
    """
    ini = read_ini(text, source)
    given = given_values(ini, environ)
    models: dict[str, type[Section]] = {**SECTIONS, "celery": celery}
    sections, rejected = _validated(models, given)
    unknown = [_unknown_section(section, source) for section in ini.sections if section not in SECTIONS]
    wrong = [_fault(name, *given[name], rejected[name]) for name in given if name in rejected]
    if faults := [*ini.faults, *unknown, *wrong]:
        raise ConfigError(faults)
    return Settings(**{**sections, "celery": sections["celery"].chosen})


def logging_settings(text: str, environ: Mapping[str, str], source: str = "config.ini") -> LoggingSettings:
    """The section ``[logging]``, as ``parse`` returns it; Celery is not imported, and its settings are not checked."""
    return parse(text, environ, celery=UncheckedCelery, source=source).logging


def given_values(ini: IniText, environ: Mapping[str, str]) -> dict[Name, Given]:
    """Each setting that is not left at its default, from the source that wins; nothing is checked."""
    return ini.values | {
        name: Given(environ[variable], f"environment {variable}")
        for variable, name in ENVIRONMENT.items()
        if environ.get(variable)
    }


def _validated(
    models: Mapping[str, type[Section]], given: Mapping[Name, Given]
) -> tuple[dict[str, Any], dict[Name, str]]:
    """The sections, and for each rejected setting the reason; a section that has a rejected setting is missing."""
    sections: dict[str, Any] = {}
    rejected: dict[Name, str] = {}
    for section, model in models.items():
        texts = {name.key: value.text for name, value in given.items() if name.section == section}
        try:
            sections[section] = model.model_validate(texts)
        except ValidationError as error:
            for key, reason in _reasons(section, error, models):
                rejected.setdefault(Name(section, key), reason)
    return sections, rejected


def _reasons(section: str, error: ValidationError, models: Mapping[str, type[Section]]) -> Iterator[tuple[str, str]]:
    """Each rejected key with the reason, in our own words, because pydantic's messages quote the value."""
    for each in error.errors(include_url=False, include_input=False):
        key, *place = each["loc"]
        if each["type"] == "extra_forbidden":
            yield str(key), _unknown_key(Name(section, str(key)), models)
            continue
        reason = str(each.get("ctx", {}).get("error", ""))
        if place and isinstance(place[0], int):
            reason = f"entry {place[0] + 1} is not valid" + (f" ({reason})" if reason else "")
        must_be = f"must be {models[section].allowed(str(key))}"
        yield str(key), f"{reason}; it {must_be}" if reason else must_be


def _fault(name: Name, text: str, origin: str, message: str) -> ConfigFault:
    """Show the value on one line, shortened and with passwords masked."""
    shown = mask_value(name.key, text).replace("\n", "\\n")
    shown = shown if len(shown) <= LONGEST_VALUE else f"{shown[:LONGEST_VALUE]}…"
    return ConfigFault(name.section, name.key, shown, f"{mask_passwords(message)} (from {origin})")


def _unknown_section(section: str, source: str) -> PlaceFault:
    near = get_close_matches(section.lower(), SECTIONS, 1)
    hint = f"did you mean [{near[0]}]?" if near else f"the sections are [{'], ['.join(SECTIONS)}]"
    return PlaceFault(section, "", f"[{section}]", f"there is no such section; {hint} (from {source})")


def _unknown_key(name: Name, models: Mapping[str, type[Section]]) -> str:
    """Suggest a similar name, or the section that has the setting, or list all settings of the section."""
    if near := get_close_matches(name.key, models[name.section].model_fields, 3, 0.7):
        return f"there is no such setting; did you mean {' or '.join(near)}?"
    for section, model in models.items():
        if name.key in model.model_fields:
            return f"there is no such setting in this section; [{section}] has it"
    listed = ", ".join(SECTIONS[name.section].model_fields)
    more = " and every setting of Celery" if name.section == "celery" else ""
    return f"there is no such setting; the section has {listed}{more}"
