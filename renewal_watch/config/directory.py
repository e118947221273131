"""The environments of a directory while a process runs: what was added, changed and removed since it was last looked at.

A file that cannot be used any more leaves its environment as it was read last, and a directory that cannot be read leaves
them all. A file that is gone counts as removed when it is gone at two looks, for some programs replace a file in two
steps; and when all of several are gone at once, a disk is more likely missing than that everything was meant to go.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from renewal_watch.config.environment_files import environment_files, read_environment, with_files
from renewal_watch.settings.environment import Environment, EnvironmentFile
from renewal_watch.settings.whole import Settings
from renewal_watch.text import REDACTOR

log = logging.getLogger(__name__)

LOOK_S = 30.0  # how often the files are looked at
_NAMED = 5  # environments named in one line of the log

Mark = tuple[int, ...]


class Directory:
    """The files as they were at the last look."""

    def __init__(self) -> None:
        self._marks: dict[Path, Mark] = {}
        self._files: dict[Path, EnvironmentFile] = {}
        self._gone: set[Path] = set()  # at the last look for the first time
        self._lost_at: datetime | None = None  # since when the directory as a whole cannot be used
        self._said: set[str] = set()

    def look(
        self, settings: Settings, now: datetime, *, before: Settings | None = None, is_meant: bool = False
    ) -> Settings:
        """The settings with the environments as the files have them now; the very same object where nothing changed.

        ``before`` are those in force, where ``settings`` were just read. With ``is_meant`` somebody says that nobody is
        writing the files: what is gone was removed, and what is wrong is told at once.
        """
        directory = settings.environments_dir
        if directory is None:
            return settings
        before = before or settings
        kept = {before.files[one.name]: one for one in before.environments if one.name in before.files}
        fault = self._look(directory, len(kept), is_meant=is_meant)
        if fault is None:
            self._lost_at = None
            found = with_files(settings, self._claims(), kept)
        else:
            self._lost_at = self._lost_at or now
            lost = EnvironmentFile(path=directory, faults=(fault,), changed_at=self._lost_at)
            others = [one for one in before.broken if one.path != directory]
            found = msgspec.structs.replace(settings, broken=(*others, lost))
        found = settings if found == settings else found
        self._log(before, found)
        return found

    def _look(self, directory: Path, count: int, *, is_meant: bool) -> str | None:
        """Read what changed; why the directory as a whole is not believed, None if it is."""
        try:
            marks = _marks(directory)
        except OSError as error:
            return f"it cannot be read: {error.strerror}"
        if not marks and count > 1 and not is_meant:  # that the only one is gone is told by the daemon
            return (
                f"it is empty, and {count} environments stood in it; they are watched as before. If that is meant, "
                f"reload the service"
            )
        missing = self._files.keys() - marks.keys()
        self._gone = set() if is_meant else missing - self._gone
        self._files = {
            path: self._files[path]
            if self._marks.get(path) == mark and self._files[path].environment is not None and not is_meant
            else read_environment(path)  # a disk that failed for a moment changes no mark
            for path, mark in marks.items()
        } | {path: self._files[path] for path in sorted(self._gone)}
        if is_meant:
            self._files = {path: msgspec.structs.replace(one, changed_at=None) for path, one in self._files.items()}
        self._marks = marks
        return None

    def _claims(self) -> Sequence[EnvironmentFile]:
        """The files, but a missing one whose name another has by now: it was renamed."""
        there = {
            file.environment.name for path, file in self._files.items() if path not in self._gone and file.environment
        }
        return [
            file
            for path, file in self._files.items()
            if path not in self._gone or file.environment is None or file.environment.name not in there
        ]

    def _log(self, before: Settings, after: Settings) -> None:
        """What is another than before, in the log."""
        if after is not before:
            was, now = _by_name(before), _by_name(after)
            changed = [name for name in now.keys() & was.keys() if now[name] != was[name]]
            for verb, names in (("added", now.keys() - was), ("removed", was.keys() - now), ("changed", changed)):
                if names:
                    some = sorted(names)
                    more = f" and {len(some) - _NAMED} more" if len(some) > _NAMED else ""
                    log.info("environments %s: %s%s", verb, ", ".join(some[:_NAMED]), more)
        said = {f"{one.place}: {one.faults[0]}" for one in after.broken} | set(after.dangling)
        for sentence in sorted(said - self._said):
            log.warning("%s", REDACTOR.clean(sentence))
        if self._said and not said:
            log.info("the files of %s can all be used again", after.environments_dir)
        self._said = said


def _by_name(settings: Settings) -> Mapping[str, Environment]:
    return {one.name: one for one in settings.environments}


def _marks(directory: Path) -> dict[Path, Mark]:
    """What changes whenever a file does, by file. Raises OSError."""
    found: dict[Path, Mark] = {}
    for path in environment_files(directory):
        try:
            one = os.stat(path)  # noqa: PTH116 (a thousand at a time)
        except OSError:
            found[path] = (0,)
        else:
            found[path] = (one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns)
    return found
