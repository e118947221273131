"""Environments from a directory, a file each. A fault of one file is no fault of the configuration."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from renewal_watch import files
from renewal_watch.config.build import build
from renewal_watch.config.check_parts import unknown
from renewal_watch.config.environment_checks import crossed_environment
from renewal_watch.config.toml import LARGEST_FILE, learn_secrets, parsed
from renewal_watch.settings.environment import Environment, EnvironmentFile
from renewal_watch.settings.values import readable
from renewal_watch.settings.whole import Settings
from renewal_watch.text import REDACTOR


def environment_files(directory: Path) -> list[Path]:
    """The files of ``environments_dir``, by name; those whose names begin with a dot belong to editors. Raises OSError."""
    with os.scandir(directory) as found:
        names = [one.name for one in found if one.name.endswith(".toml") and not one.name.startswith(".")]
    return [directory / name for name in sorted(names)]


def read_environment(path: Path) -> EnvironmentFile:
    """What a file of the directory says: the keys of one ``[[environments]]``, the name by default the file's stem."""
    changed_at = None
    try:
        content, found = files.read(path, LARGEST_FILE + 1)
        changed_at = datetime.fromtimestamp(found.st_ctime, UTC)
    except OSError as error:
        msg = f"it cannot be read: {error.strerror}"
        return EnvironmentFile(path=path, faults=(msg,), changed_at=_changed_at(path))
    try:
        if len(content) > LARGEST_FILE:
            msg = f"is larger than {LARGEST_FILE // 2**20} MiB"
            raise ValueError(msg)
        table = parsed(content)
    except ValueError as error:
        return EnvironmentFile(path=path, faults=(f"it {error}",), changed_at=changed_at)
    learn_secrets({"environments": [table]})
    table = {"name": path.name.removesuffix(".toml")} | table
    place = f"environments.{table['name']}"
    faults: list[str] = []
    environment = build(Environment, table, f"{place}.", faults)
    faults += crossed_environment(table, place, readable_by_others=bool(stat.S_IMODE(found.st_mode) & 0o077))
    if "environments" in table:
        faults.insert(0, "environments: the keys stand at the top of the file, without [[environments]]")
    if faults:
        said = tuple(REDACTOR.clean(one.removeprefix(place).lstrip(".: ")) for one in faults)
        return EnvironmentFile(path=path, faults=said, changed_at=changed_at)
    return EnvironmentFile(path=path, environment=environment, changed_at=changed_at)


def _changed_at(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.lstat().st_ctime, UTC)
    except OSError:
        return None


def with_files(
    settings: Settings, files: Sequence[EnvironmentFile], kept: Mapping[Path, Environment] | None = None
) -> Settings:
    """The settings with the environments of the directory's files in place of those it had.

    ``kept`` has what a file that cannot be used now gave before, which goes on. A name that two files use is a fault of
    both, for nobody can say which is meant; one of the main file is that of the main file.
    """
    main = tuple(one for one in settings.environments if one.name not in settings.files)
    names = {one.name for one in main}
    users: dict[str, list[EnvironmentFile]] = {}
    for file in files:
        if file.environment is not None:
            users.setdefault(file.environment.name, []).append(file)
    good: dict[str, tuple[Path, Environment]] = {}
    broken: list[EnvironmentFile] = []
    for file in files:
        one = file.environment
        if one is None:
            broken.append(file)
        elif one.name in names:
            msg = f"name: {one.name!r} is an environment of {settings.path.name} already; give one of them another name"
            broken.append(msgspec.structs.replace(file, faults=(msg,)))
        elif len(users[one.name]) > 1:
            others = [other for other in users[one.name] if other is not file]
            where = ", ".join(readable(other.path.name) for other in others)
            msg = f"name: {one.name!r} is used twice, also in {where}"
            newest = max(filter(None, (other.changed_at for other in users[one.name])), default=None)
            broken.append(msgspec.structs.replace(file, faults=(msg,), changed_at=newest))
        else:
            good[one.name] = (file.path, one)
    for file in broken:
        before = (kept or {}).get(file.path)
        if before is not None and before.name not in names:
            good.setdefault(before.name, (file.path, before))
    of_files = [environment for _, environment in good.values()]
    known = names | good.keys()
    return msgspec.structs.replace(
        settings,
        environments=(*main, *sorted(of_files, key=lambda one: one.name)),
        files={name: path for name, (path, _) in good.items()},
        broken=tuple(broken),
        dangling=tuple(_dangling(settings, known)),
    )


def _dangling(settings: Settings, known: set[str]) -> Iterator[str]:
    named = [(f"channels.{one.name}", one.environments) for one in settings.channels]
    named += [(f"rules.{one.name}.match", one.match.environments) for one in settings.rules]
    for place, names in named:
        yield from unknown(list(names or ()), known, f"{place}.environments", "environment")
