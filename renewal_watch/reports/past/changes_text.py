"""What changed in the fleet, in words: of one change, of a group, and lines for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal

from renewal_watch.alerts.phrases import a_few, capital, day, instant, money, numbers, status_name
from renewal_watch.language import _, ngettext, number, pgettext
from renewal_watch.reports.past.changes import Change, Changed, Compared, Found
from renewal_watch.reports.tables import Line, Tone, aligned, toned
from renewal_watch.text import plain

MOST_NOTES = 10  # environments of which something is to be said; the others are counted
_TONES: dict[str, Tone] = {"gone": "bad", "status": "mind", "renumbered": "bad", "auto_renewal_off": "mind"}


def group_name(group: str) -> str:
    """A group in a few words, as they stand after a count: ``3 gone``."""
    return {
        "gone": pgettext("changes", "gone"),
        "moved": pgettext("changes", "moved to another environment"),
        "status": pgettext("changes", "with another status"),
        "renumbered": pgettext("changes", "with another number"),
        "dearer": pgettext("changes", "dearer"),
        "cheaper": pgettext("changes", "cheaper"),
        "repriced": pgettext("changes", "priced otherwise"),
        "auto_renewal_off": pgettext("changes", "auto-renewal switched off"),
        "auto_renewal_on": pgettext("changes", "auto-renewal switched on"),
        "capability_lost": pgettext("changes", "with a lost capability"),
        "renewal_day": pgettext("changes", "renewal day moved"),
        "renewed": pgettext("changes", "renewed"),
        "returned": pgettext("changes", "returned"),
        "added": pgettext("changes", "added"),
        "came_and_went": pgettext("changes", "added and gone again"),
        "capability_gained": pgettext("changes", "with a new capability"),
        "sandbox": pgettext("changes", "sandbox switched"),
    }[group]


def change_words(change: Change) -> str:
    """What is another now: ``active → suspended``, ``1.00 USD → 1.20 USD``, ``not listed since …``."""
    match change.what:
        case "gone" | "came_and_went":
            return _("not listed since {at}", at=instant(change.seen_at))
        case "moved":
            return _("moved to {environment}", environment=plain(change.now))
        case "added" | "returned":
            return _("listed since {at}", at=instant(change.seen_at))
        case "capability_lost" | "capability_gained":
            return plain(change.before or change.now)
        case _what:
            return f"{_value(change, is_now=False)} → {_value(change, is_now=True)}"


def _value(change: Change, *, is_now: bool) -> str:
    value, currency = (change.now, change.currency) if is_now else (change.before, change.currency_before)
    if value is None:
        return _("not stated")
    match change.what:
        case "status":
            return status_name(value, 40)
        case "dearer" | "cheaper" | "repriced":
            return money(Decimal(value), currency)
        case "auto_renewal_off" | "auto_renewal_on" | "sandbox":
            return pgettext("auto-renewal", "on") if value == "on" else pgettext("auto-renewal", "off")
        case "renewal_day" | "renewed":
            return day(date.fromisoformat(value).toordinal())
        case _what:
            return plain(value, 40)


def also(one: Changed) -> str:
    """What changed of a number beside what its group says."""
    first, *rest = one.changes
    said = [change_words(change) if change.what == first.what else _named(change) for change in rest]
    return "; ".join(said)


def _named(change: Change) -> str:
    if change.what in ("returned", "added"):
        return group_name(change.what)
    return f"{group_name(change.what)}: {change_words(change)}"


def shown_name(one: Changed) -> str:
    """The number, or where there is none its id."""
    return plain(one.number or one.id, 40)


# --- how far it reaches -----------------------------------------------------------------------------------------------


def notes(found: Found) -> list[str]:
    """What nobody can know of the span, or what was compared instead, a sentence for each environment."""
    said = [note for one in found.environments if (note := _note(one))]
    more = len(said) - MOST_NOTES
    rest = ngettext("and {count} more environment", "and {count} more environments", more) if more > 0 else ""
    return [*said[:MOST_NOTES], *[rest] * bool(rest)]


def _note(one: Compared) -> str:
    if one.first is None or one.last is None:
        return _("{environment}: no list was read by then", environment=one.name)
    said = []
    if one.is_short:
        said.append(_("its history begins {at}; what was before is not known", at=instant(one.first)))
    if one.is_far and one.is_thinned:
        said.append(
            _(
                "of so long ago one list a month is kept, the one before that is of {at}; what changed since then is told as well",
                at=instant(one.first),
            )
        )
    elif one.is_far:
        said.append(
            _("the list before that is of {at}; what changed since then is told as well", at=instant(one.first))
        )
    if one.is_stale:
        said.append(_("no list was read after {at}; what changed since then is not known", at=instant(one.last)))
    return f"{one.name}: {'; '.join(said)}" if said else ""


def others(found: Found) -> str:
    """Numbers of which nothing changed that anything is made of; empty where there are none."""
    if not found.others:
        return ""
    names = [plain(name, 40) for name, _count in found.other_fields.most_common()]
    return ngettext(
        "{count} number changed in other fields only: {fields}",
        "{count} numbers changed in other fields only: {fields}",
        found.others,
        fields=a_few(names),
    )


def counted(found: Found) -> str:
    """``3 gone, 1 dearer``; empty where nothing changed."""
    return ", ".join(f"{number(count)} {group_name(group)}" for group, count in found.counts.items() if count)


def head(found: Found) -> str:
    """The first line: how many numbers changed, in which groups, and within which time."""
    since, until = instant(found.span.since), instant(found.span.until)
    if not found.numbers:
        return _("Nothing changed between {since} and {until}.", since=since, until=until)
    return _(
        "{numbers} changed between {since} and {until}: {counts}",
        numbers=numbers(len(found.numbers)),
        since=since,
        until=until,
        counts=counted(found),
    )


# --- for a terminal ---------------------------------------------------------------------------------------------------


def lines(found: Found) -> Iterator[str]:
    """A line for each number below the name of its group, and first what all of it amounts to."""
    yield Line(head(found), "head")
    yield from (toned(note, "mind") for note in notes(found))
    rows = [(one, (shown_name(one), one.environment, change_words(one.changes[0]))) for one in found.numbers]
    widths = [max((len(cells[place]) for _one, cells in rows), default=0) for place in range(3)]
    cells_of: dict[int, Sequence[str]] = {id(one): cells for one, cells in rows}
    for group, those in found.groups():
        yield ""
        yield Line(f"{capital(group_name(group))} ({len(those)})", "head")
        for one in those:
            line = aligned((*cells_of[id(one)], also(one)), (*widths, 0))
            yield toned(f"  {line}", _TONES.get(group))
    if said := others(found):
        yield from ("", toned(capital(said), "faint"))
