"""How the demo's story looks on a terminal: wrapped to its width, at a pace that can be read, nothing told twice."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from datetime import datetime

import click

PACE_S = 0.5  # on a terminal: after what is to be read
GLANCE_S = 0.1  # after a single line
NARROWEST, WIDEST = 60, 110
_COLOURS = {"CRITICAL": "red", "WARNING": "yellow", "INFO": "green"}


class Printer:
    """Prints what happens and what arrives, day by day; what one channel has shown is a line on the next."""

    def __init__(self, begins: datetime, *, is_fast: bool) -> None:
        self._begins = begins
        self._waits = sys.stdout.isatty() and not is_fast
        self._day = -1
        self._shown: tuple[datetime, set[str]] = (begins, set())  # the lines of this moment
        self._has_digest = False

    @property
    def _width(self) -> int:
        return max(NARROWEST, min(shutil.get_terminal_size((100, 24)).columns, WIDEST))

    def rule(self, name: str) -> None:
        """A heading across the terminal."""
        click.secho(f"\n── {name} ".ljust(self._width, "─"), fg="cyan")

    def text(self, text: str) -> None:
        """A paragraph."""
        self._wrapped(text, "   ", "   ")

    def aside(self, now: datetime, text: str) -> None:
        """Something happens in the simulated world."""
        self._date(now)
        self._wrapped(f"({text})", "   ", "    ", dim=True, italic=True)
        self._pause(PACE_S)

    def message(self, now: datetime, channel: str, text: str) -> None:
        """A channel receives this."""
        self._date(now)
        title, *lines = text.splitlines()
        head = f" {now:%H:%M} {channel:<6} ◂ "
        self._wrapped(title, head, " " * len(head), bold=True)
        if channel == "office":
            self._digest(lines)
            return
        if self._shown[0] != now:
            self._shown = (now, set())
        told = 0
        colour = None
        for line in lines:
            if line in _COLOURS:
                colour = _COLOURS[line]
            elif line.startswith(("•", "…")) and not self._is_known(line, title) and colour != "green":
                self._wrapped(line, "         ", "           ", fg=colour)
                told += 1
            elif line.startswith("Over before") or any(word in line for word in ("superseded", "delivered late")):
                self._wrapped(line, "         ", "         ", dim=True)
        self._pause(PACE_S if told else GLANCE_S)

    def _is_known(self, line: str, title: str) -> bool:
        """Whether the title says it, or another channel did."""
        is_known = "(reminder " in line or line in self._shown[1] or line.removeprefix("• ") in title
        self._shown[1].add(line)
        return is_known

    def _digest(self, lines: list[str]) -> None:
        """The first one up to what was found, which the chat has shown; of the others the title has said enough."""
        if not self._has_digest:
            for line in lines[: next(i for i, line in enumerate(lines) if line.startswith("FOUND SINCE"))]:
                self._wrapped(line, "         ", "           ", dim=True)
            self._pause(4 * PACE_S)
        self._has_digest = True

    def _date(self, now: datetime) -> None:
        day = (now - self._begins).days
        if day != self._day:
            self._day = day
            self.rule(f"day {day + 1} · {now:%a %d %b}")

    def _wrapped(self, text: str, first: str, rest: str, **style: object) -> None:
        lines = textwrap.wrap(text, self._width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
        for line in lines or [""]:
            click.secho(line, **style)  # type: ignore[arg-type]

    def _pause(self, seconds: float) -> None:
        sys.stdout.flush()
        if self._waits:
            time.sleep(seconds)
