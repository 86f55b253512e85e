"""``--set`` and ``[quick]``: values put over those of a card."""

import tomllib
from typing import Any

from phasegrok.cards.kinds import KINDS
from phasegrok.cards.sections import READS, SECTIONS, CardModel
from phasegrok.cards.values import MOST_MESSAGES, did_you_mean, shortened
from phasegrok.errors import InputError
from phasegrok.networks.training.settings import RENAMED
from phasegrok.text import as_typed

_FAMILIES = {"training": ("network",), "langevin": ("continuous", "network")}
"""Sections that a bare key means on cards of these families alone."""


def parse_assignments(texts: list[str]) -> dict[str, Any]:
    """``["L=8", "event.threshold=0.5"]`` -> {"L": 8, "event.threshold": 0.5}.

    Raises
    ------
    InputError
        For a text without an equals sign.
    """
    result: dict[str, Any] = {}
    for text in map(as_typed, texts):
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {text}: give it as key=value, for example --set L=8")
        try:
            result[key.strip()] = tomllib.loads(f"x = {value}")["x"]
        except tomllib.TOMLDecodeError:
            result[key.strip()] = value.strip()
    return result


def _known_keys(schema) -> dict[str, list[str]]:
    """Every dotted key of a card, by its last part."""
    keys = {name: [name] for name in CardModel.model_fields
            if name not in SECTIONS and name not in ("parameters", "quick")}
    tables = dict(SECTIONS) | ({"parameters": schema} if schema is not None else {})
    for section in ("parameters", *SECTIONS):
        if section in tables:
            for name in tables[section].model_fields:
                keys.setdefault(name, []).append(f"{section}.{name}")
    return keys


def apply(raw, overrides, schema, label, section="", script="") -> list[str]:
    """Put ``overrides`` into the raw card; one message for each key that is unknown or unclear."""
    reads = READS.get(script, tuple(SECTIONS))
    unread = set(SECTIONS) - {*reads, "observables", "data"}
    kind = KINDS.get(str(raw.get("kind")))
    foreign = {name for name, families in _FAMILIES.items()
               if kind is not None and kind.family not in families}
    keys = _known_keys(schema)
    dotted = {full for fulls in keys.values() for full in fulls}
    messages = []
    for typed, value in overrides.items():
        key = typed if typed in keys or typed in dotted else _present_name(typed)
        here = [full for full in keys.get(key, [])
                if full.rpartition(".")[0] not in unread | foreign]
        if key in dotted:
            full = key
        elif schema is None and key.startswith("parameters."):
            full = key  # the parameters of code that was not executed: checked when it is
        elif schema is None and key not in keys:
            continue  # perhaps a parameter; the missing schema has its own message
        elif len(here or keys.get(key, [])) == 1:
            full = (here or keys[key])[0]
        elif here:
            preferred = [f"parameters.{key}", f"{section}.{key}"]
            given = [name for name in here if name.rpartition(".")[0] in raw]
            full = next((name for name in preferred if name in here),
                        given[0] if len(given) == 1 else "")
            if not full:
                messages.append(f"{label} {key}: which of {', '.join(here)}?")
                continue
        elif key in keys:
            full = keys[key][0]  # of a section that is not read, as all of them are
        elif len(messages) < MOST_MESSAGES:
            messages.append(f"{label} {shortened(key)}: unknown key"
                            f"{did_you_mean(key, [*keys, *dotted])}")
            continue
        else:
            messages.append("")  # counted alone
            continue
        table_name, _, name = full.rpartition(".")
        if table_name in unread:
            messages.append(f"{label} {key}: {script} reads {_sections(reads)} of a card, not "
                            f"[{table_name}]")
            continue
        table = raw.setdefault(table_name, {}) if table_name else raw
        if isinstance(table, dict):
            table[name] = value
    return messages


def _present_name(key: str) -> str:
    """Key of [training] that has another name now."""
    section, dot, name = key.rpartition(".")
    return f"{section}{dot}{RENAMED[name]}" if name in RENAMED and (
        section in ("", "training")) else key


def _sections(names) -> str:
    return " and ".join(filter(None, [", ".join(f"[{name}]" for name in names[:-1]),
                                      f"[{names[-1]}]"]))
