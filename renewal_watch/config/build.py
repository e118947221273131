"""Builds a section from its table, key by key, so that one fault does not hide the next."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, get_args, get_origin

import msgspec

from renewal_watch.model.policy import Rule
from renewal_watch.settings.values import S

_JARGON = {  # of msgspec, in the words of TOML
    " | null": "",
    "bool | int | float | str": "text, a number, true or false",
    "array of length >= 1": "a list with at least one value",
    "array": "a list",
    "object": "a table",
    "str": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
}


@cache  # a thousand files of environments are of one class
def _fields(cls: type[msgspec.Struct]) -> Mapping[str, msgspec.structs.FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(cls)}


def section_of(kind: Any) -> tuple[type[msgspec.Struct], bool] | None:
    """The section that a field holds, and whether it may stand several times; None for a field of one value."""
    is_repeated = get_origin(kind) is tuple
    inner = get_args(kind)[0] if is_repeated else kind
    is_section = isinstance(inner, type) and issubclass(inner, msgspec.Struct)
    return (inner, is_repeated) if is_section else None


def build(cls: type[S], table: dict[str, Any], path: str, faults: list[str]) -> S | None:
    """``cls`` from ``table``; each key is tried on its own, so that one fault does not hide the next."""
    fields = _fields(cls)
    given: dict[str, Any] = {}
    before = len(faults)
    for key, value in table.items():
        if key in fields:
            given[key] = _value(cls, fields[key].type, key, value, path, faults)
            continue
        near = difflib.get_close_matches(key, fields, 1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(fields)}"
        faults.append(f"{path}{key}: unknown key; {hint}")
    if table.get("environments") == [] and "environments_dir" not in table:
        faults.append("environments: at least one [[environments]] is needed, or environments_dir")
    missing = [name for name, field in fields.items() if field.required and name not in table]
    faults.extend(f"{path}{name}: is missing" for name in missing)
    if len(faults) > before:
        return None
    try:
        return cls(**given)
    except ValueError as error:  # keys that are right one by one
        faults.append(f"{path.rstrip('.')}: {error}")
        return None


def _value(cls: type[msgspec.Struct], kind: Any, key: str, value: Any, path: str, faults: list[str]) -> Any:
    """What a key holds; what is wrong with it is added to ``faults``."""
    inner, is_repeated = section_of(kind) or (None, False)
    if inner is None:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            faults.append(f"{path}{key}: {_plain_fault(str(error), kind)}")
            return None
    if not is_repeated:
        if isinstance(value, dict):
            return build(inner, value, f"{path}{key}.", faults)
        form = f"{key} = {{ … }}" if cls is Rule else f"[{key}]"
        faults.append(f"{path}{key}: write it as {form}")
        return None
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        faults.append(f"{path}{key}: write it as [[{key}]]")
        return None
    labels = [one["name"] if isinstance(one.get("name"), str) else str(i + 1) for i, one in enumerate(value)]
    built = [build(inner, one, f"{key}.{label}.", faults) for one, label in zip(value, labels, strict=True)]
    return tuple(one for one in built if one is not None)


def _choices(kind: Any) -> list[str]:
    """The words that a type of fixed words takes, however deep they stand in it."""
    if get_origin(kind) is Literal:
        return [str(word) for word in get_args(kind)]
    return [word for inner in get_args(kind) for word in _choices(inner)]


def _plain_fault(text: str, kind: Any) -> str:
    if "|off" in text:
        return 'write a whole number and a unit, such as "6h" or "2d", or "off"'
    if r"[smhd]" in text:
        return 'write a whole number and a unit, such as "30s", "15m", "6h" or "2d"'
    if "A-Za-z0-9._-" in text:
        return "a name has up to 64 letters, digits, dots, dashes and underscores and starts with a letter or digit"
    if "decimal string" in text:
        return "write an amount, such as 5 or 2.50"
    said = re.sub(r" - at `.*\[\.\.\.\]`", "", text).replace(" - at `$", " at `").replace("`", "").removesuffix(" at ")
    if said.startswith("Invalid enum value"):
        return f"{said.replace('Invalid enum value', 'unknown value')}; write one of: {', '.join(_choices(kind))}"
    for jargon, words in _JARGON.items():
        said = said.replace(jargon, words)
    return said[:1].lower() + said[1:]
