"""Drawings as inline SVG: the days ahead, the life of one number, the polls of late. Pure: from values to markup.

Colours come from the style sheet by class, so that light and dark are one drawing. What a colour says, a shape or a
word says as well, and every drawing stands beside a table with the same facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Any, NamedTuple

from markupsafe import Markup

from renewal_watch.alerts.phrases import status_name
from renewal_watch.language import _, date_of, date_of_this_year, day_of_this_year, month_of, ngettext, number, tenths
from renewal_watch.text import plain
from renewal_watch.web.pages.words import whole_time

_WIDTH = 960  # units of the drawing's own
_SHORT = 44  # units that a word in a band needs at the least
_LETTER = 6.2  # units of a letter, about


# --- the days ahead ---------------------------------------------------------------------------------------------------


class Bar(NamedTuple):
    """One day of the calendar."""

    on: date
    renewing: int
    ending: int
    again: int
    path: str


def days(bars: Sequence[Bar]) -> Markup:
    """A bar for each day: what renews, hatched what ends, outlined what comes again."""
    height, base, top = 150, 122, 14
    most = max((one.renewing + one.ending + one.again for one in bars), default=0) or 1
    step = (_WIDTH - 44) / max(1, len(bars))
    parts = []
    for place, one in enumerate(bars):
        x = 40 + place * step
        said = _day_said(one)
        inner = []
        if one.on.weekday() > 4:  # noqa: PLR2004 (Friday)
            inner.append(
                Markup('<rect class="weekend" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(
                    x, top, step, base - top
                )
            )
        y = float(base)
        for kind, count in (("renewing", one.renewing), ("ending", one.ending), ("again", one.again)):
            tall = max(2.0, count / most * (base - top - 4)) if count else 0.0
            if not tall:
                continue
            y -= tall
            inner.append(_bar(kind, x + step * 0.14, y, step * 0.72, tall))
        shape = Markup("").join(inner)
        if one.renewing + one.ending + one.again:
            shape = Markup(
                '<a href="{}" tabindex="-1"><title>{}</title>{}<rect class="hit" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/></a>'
            ).format(one.path, said, shape, x, top, step, base - top)
        parts.append(shape)
        if label := _label(one.on, place):
            parts.append(Markup('<text class="tick" x="{:.1f}" y="{}">{}</text>').format(x + 1, base + 16, label))
    parts.append(Markup('<line class="axis" x1="40" y1="{0}" x2="{1}" y2="{0}"/>').format(base, _WIDTH))
    parts.append(Markup('<text class="tick end" x="34" y="{}">{}</text>').format(top + 10, number(most)))
    parts.append(Markup('<text class="tick end" x="34" y="{}">0</text>').format(base))
    return _svg(height, Markup("").join([_HATCH, *parts]))


def _label(on: date, place: int) -> str:
    """Below the first bar and the first of a month its date, below Mondays the day, where there is room for it."""
    if place == 0 or (on.day == 1 and place > 2):  # noqa: PLR2004 (bars that a label takes)
        return date_of_this_year(on)
    return f"{on:%d}" if on.weekday() == 0 and place > 2 and 3 < on.day < 29 else ""  # noqa: PLR2004


_HATCH = Markup(
    '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="hatch-ground" width="6" height="6"/><line class="hatch-line" x1="0" y1="0" x2="0" y2="6"/></pattern></defs>'
)


def _bar(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    fill = Markup(' fill="url(#hatch)"') if kind == "ending" else Markup("")
    return Markup('<rect class="bar {}"{} x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
        kind, fill, x, y, width, height
    )


def _day_said(one: Bar) -> str:
    said = [ngettext("{count} renew", "{count} renew", one.renewing)] * bool(one.renewing)
    said += [ngettext("{count} end", "{count} end", one.ending)] * bool(one.ending)
    said += [ngettext("{count} renew again", "{count} renew again", one.again)] * bool(one.again)
    return f"{day_of_this_year(one.on)}: {', '.join(said)}"


# --- the life of one number -------------------------------------------------------------------------------------------


class Stretch(NamedTuple):
    """A time through which nothing changed that is drawn.

    ``status`` is as the provider says it, empty where it says none, None where the number was not in the list.
    """

    start: datetime
    end: datetime
    status: str | None
    auto_renewal: bool | None


class Mark(NamedTuple):
    """Something that happened at one time."""

    at: datetime
    kind: str  # renewal or price
    said: str


class Life(NamedTuple):
    """What is drawn of a number."""

    stretches: Sequence[Stretch]
    marks: Sequence[Mark]


class Drawn(NamedTuple):
    """A drawing, and what it shows in a sentence."""

    svg: Markup
    text: str


def stretches(history: Sequence[Mapping[str, Any]], now: datetime) -> Life:
    """The life that a number's changes tell, the oldest first, up to ``now``."""
    found: list[Stretch] = []
    marks: list[Mark] = []
    starts = [event["seen_at"] for event in history]
    for event, (start, end) in zip(history, pairwise([*starts, max([now, *starts])]), strict=True):
        entry = event["entry"]
        status = None if entry is None else str(entry.get("current_status") or "").strip().lower()
        auto = None if entry is None else _flag(entry.get("auto_renewal"))
        if found and found[-1].status == status and found[-1].auto_renewal == auto:
            found[-1] = found[-1]._replace(end=end)
        else:
            found.append(Stretch(start, end, status, auto))
        marks += _marks(event)
    return Life(found, marks)


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _day_of(value: str) -> str:
    """A day of the list as the page says days; what is none as it came."""
    try:
        return date_of(date.fromisoformat(value[:10]))
    except ValueError:
        return plain(value, 20)


def _marks(event: Mapping[str, Any]) -> Iterator[Mark]:
    fields = event["fields"]
    renewal = fields.get("renewal_date", {})
    before, after = str(renewal.get("before") or ""), str(renewal.get("now") or "")
    if before and after[:10] > before[:10]:
        yield Mark(event["seen_at"], "renewal", _("renewed, next on {day}", day=_day_of(after)))
    price = fields.get("monthly_renewal_cost") or fields.get("current_price")
    if price and "before" in price and "now" in price:
        said = _("price {before} → {now}", before=price["before"], now=price["now"])
        yield Mark(event["seen_at"], "price", said)


def lifeline(life: Life, now: datetime, zone: tzinfo) -> Drawn:
    """A band of the status over time, a line of auto-renewal below it, marks for renewals and prices above it."""
    if not life.stretches:
        return Drawn(Markup(""), "")
    start, end = life.stretches[0].start, max(now, life.stretches[-1].end)
    length = max((end - start).total_seconds(), 1.0)
    left, right, band, tall, wire = 8.0, _WIDTH - 8.0, 46, 30, 92

    def x(at: datetime) -> float:
        return left + (right - left) * max(0.0, min(1.0, (at - start).total_seconds() / length))

    parts = [_HATCH]
    for one in life.stretches:
        x1, wide = x(one.start), max(1.0, x(one.end) - x(one.start))
        said = _("{status} from {at}", status=_status(one.status), at=whole_time(one.start.astimezone(zone)))
        fill = Markup(' fill="url(#hatch)"') if one.status is None else Markup("")
        parts.append(
            Markup(
                '<rect class="band {}"{} x="{:.1f}" y="{}" width="{:.1f}" height="{}"><title>{}</title></rect>'
            ).format(_tone(one.status), fill, x1, band, wide, tall, said)
        )
        word = _status(one.status)
        if wide > max(_SHORT, len(word) * _LETTER + 12):
            parts.append(Markup('<text class="word" x="{:.1f}" y="{}">{}</text>').format(x1 + 6, band + 20, word))
    for one in life.stretches:
        if one.auto_renewal is not None:
            kind = "on" if one.auto_renewal else "off"
            parts.append(
                Markup(
                    '<line class="wire {0}" x1="{1:.1f}" y1="{3}" x2="{2:.1f}" y2="{3}"><title>{4}</title></line>'
                ).format(kind, x(one.start), max(x(one.start) + 1, x(one.end)), wire, _auto(on=one.auto_renewal))
            )
    last = life.stretches[-1].auto_renewal
    if last is not None:
        parts.append(Markup('<text class="tick end" x="{}" y="{}">{}</text>').format(right, wire - 5, _auto(on=last)))
    parts += [_mark(one, x(one.at), band) for one in life.marks]
    parts += _ticks(start, end, zone, x)
    return Drawn(_svg(128, Markup("").join(parts)), _life_said(life, zone))


def _mark(one: Mark, x: float, band: int) -> Markup:
    if one.kind == "renewal":
        shape = Markup('<path d="M{0:.1f} {1} l6 -8 l-6 -8 l-6 8 z"/>').format(x, band - 3)
    else:
        shape = Markup('<rect x="{:.1f}" y="{}" width="9" height="9"/>').format(x - 4.5, band - 34)
    return Markup('<g class="mark {}"><title>{}</title>{}</g>').format(one.kind, one.said, shape)


def _ticks(start: datetime, end: datetime, zone: tzinfo, x: Any) -> Iterator[Markup]:
    """Some dates below, first and last among them; one that reads like the one before is left out."""
    count = 6
    step = (end - start) / count
    length = end - start
    before = ""
    for place in range(count + 1):
        at = start + step * place
        local = at.astimezone(zone)
        if length < timedelta(days=2):
            word = f"{local:%H:%M}"
        else:
            word = date_of_this_year(local.date()) if length < timedelta(days=300) else month_of(local.date())
        anchor = "" if place == 0 else "end" if place == count else "middle"
        if word != before:
            yield Markup('<text class="tick {}" x="{:.1f}" y="118">{}</text>').format(anchor, x(at), word)
        before = word


def _status(status: str | None) -> str:
    return _("not listed") if status is None else status_name(status) or _("not stated")


def _auto(*, on: bool) -> str:
    return _("auto-renewal on") if on else _("auto-renewal off")


def _tone(status: str | None) -> str:
    return "gone" if status is None else "ok" if status == "active" else "mind"


def _life_said(life: Life, zone: tzinfo) -> str:
    bands = [
        _("{status} from {at}", status=_status(one.status), at=date_of(one.start.astimezone(zone).date()))
        for one in life.stretches[-6:]
    ]
    renewals = sum(one.kind == "renewal" for one in life.marks)
    prices = sum(one.kind == "price" for one in life.marks)
    return _(
        "Over time: {bands}. Renewals seen: {renewals}. Price changes: {prices}.",
        bands=", ".join(bands),
        renewals=number(renewals),
        prices=number(prices),
    )


# --- polls ------------------------------------------------------------------------------------------------------------


class Poll(NamedTuple):
    """One poll."""

    at: datetime
    is_good: bool
    took_s: float


def polls(found: Sequence[Poll], zone: tzinfo) -> Markup:
    """A tick for each poll, the oldest first, with the times of the first and last: a tall one for a good one, a low one else."""
    step = _WIDTH / max(1, len(found), 60)
    parts = []
    for place, one in enumerate(found):
        x = place * step + 2
        at, took = _minute(one.at, zone), tenths(one.took_s)
        said = (
            _("{at}: read in {seconds} s", at=at, seconds=took)
            if one.is_good
            else _("{at}: failed in {seconds} s", at=at, seconds=took)
        )
        top, tall = (2, 20) if one.is_good else (14, 8)
        parts.append(
            Markup(
                '<rect class="poll {}" x="{:.1f}" y="{}" width="{:.1f}" height="{}"><title>{}</title></rect>'
            ).format("ok" if one.is_good else "bad", x, top, max(2.0, step - 4), tall, said)
        )
    ends = [(0, "", found[0]), (len(found) * step, "end", found[-1])] if len(found) > 1 else []
    parts += [
        Markup('<text class="tick {}" x="{:.1f}" y="38">{}</text>').format(anchor, x, _minute(one.at, zone))
        for x, anchor, one in ends
    ]
    return _svg(42, Markup("").join(parts))


def _minute(at: datetime, zone: tzinfo) -> str:
    local = at.astimezone(zone)
    return f"{date_of_this_year(local.date())} {local:%H:%M}"


def _svg(height: int, inner: Markup) -> Markup:
    """A drawing that a screen reader passes over: its facts stand in the table beside it."""
    return Markup('<svg class="chart" viewBox="0 0 {} {}" aria-hidden="true" focusable="false">{}</svg>').format(
        _WIDTH, height, inner
    )
