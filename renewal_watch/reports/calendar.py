"""The renewal days as a calendar (RFC 5545) that Google, Outlook and Apple subscribe to.

    one event a number   its coming renewal day; when the day moves the event moves, for its UID holds no date
    one event a day      how many numbers and what they cost; for fleets whose numbers are too many to read

The bytes change only when the fleet does, so that they can be told apart by their digest. What is missing, a sandbox
number or without a renewal day is not there. A list that went stale, or holds no renewal day, is told by an event of
today: a calendar must not look quiet because nobody looked, and one without events is against the grammar (RFC 5545,
3.6), which Google refuses. There is no alarm in it: telling in time is what the watch is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, vText

from renewal_watch import __version__
from renewal_watch.alerts import phrases
from renewal_watch.alerts.links import number_path
from renewal_watch.database.schema import actions
from renewal_watch.database.transaction import Transaction
from renewal_watch.detect import failures
from renewal_watch.inventory.file import inventory_of
from renewal_watch.language import _, language, ngettext, number, pgettext
from renewal_watch.model.policy import Record
from renewal_watch.model.selectors import NOBODY, digits
from renewal_watch.model.tracking import Watch
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.whole import Settings
from renewal_watch.store.environments import environment_states
from renewal_watch.store.owned import owned_ids
from renewal_watch.store.renewals.calendar_rows import (
    FIRST,
    Renewal,
    counted,
    lapse_changes_by,
    last_change_of,
    renewals,
)
from renewal_watch.text import plain

MOST = 2000  # events of single numbers: about 1 MB, the most that Google takes in a file (its help on importing events)
NAMED = 20  # numbers that an event of a day names
REFRESH = timedelta(hours=6)  # how often a reader should ask; many ask when they like
CONTENT_TYPE = "text/calendar; charset=utf-8"
_UIDS = UUID("7c04c311-be87-4712-b488-0f9e77d155de")  # made once; another one would double every event of every reader


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One event. ``changed_at`` is when what it says was first seen so."""

    key: str
    on: date
    changed_at: datetime
    summary: str
    lines: Sequence[str]
    categories: Sequence[str]
    url: str = ""


def calendar(
    tx: Transaction,
    settings: Settings,
    now: datetime,
    *,
    by_day: bool = False,
    environment: str = "",
    owner: str = "",
    label: str = "",
) -> bytes:
    """The calendar of every environment, or of one; of one owner, one label. Raises UsageError for an unknown environment.

    More than ``MOST`` numbers are shown by day in any case, and the calendar's description says so.
    """
    those = [settings.environment(environment)] if environment else list(settings.environments)
    names = [one.name for one in those]
    ids = owned_ids(tx, Routing.of(settings, inventory_of(settings).current()), names, owner, label)
    is_large = counted(tx, names, ids) > MOST
    about = [_("When the numbers renew as the provider last listed them.")]  # no comma: some readers split at it
    if is_large and not by_day:
        about.append(_("One event a day for there are more than {most} numbers.", most=MOST))
    made = _made(settings, ", ".join(filter(None, (environment, owner, label))), " ".join(about))
    found = _by_day(tx, names, ids) if by_day or is_large else _by_number(tx, names, settings, ids)
    is_empty = True
    for one in found:
        made.add_component(_event(one))
        is_empty = False
    for one in _notes(tx, settings, names, now, is_empty=is_empty):
        made.add_component(_event(one))
    text: bytes = made.to_ical()
    return text


def _by_number(
    tx: Transaction, names: Sequence[str], settings: Settings, ids: Sequence[int] | None
) -> Iterator[_Entry]:
    inventory = inventory_of(settings).current()
    lapse_changes = lapse_changes_by(tx, actions.c.number_id)
    for one in renewals(tx, names, ids):
        yield _Entry(
            key=f"{one.environment}\n{one.provider_id}",
            on=date.fromordinal(one.renews_on),
            changed_at=max(one.changed_at, lapse_changes.get(one.pk, FIRST)),
            summary=_summary(one),
            lines=_lines(one, inventory),
            categories=("renewal-watch", one.environment),
            url=settings.web.base and settings.web.base + number_path(one.environment, one.provider_id),
        )


def _summary(one: Renewal) -> str:
    if one.renews:
        what = _("{number} renews", number=one.who)
    elif one.lapse_at:
        what = _("{number} is meant to expire", number=one.who)
    else:
        what = _("{number} ends unless renewed", number=one.who)
    status = phrases.status_name(one.status, 40) or _("no status")
    status = "" if one.status == "active" else f" ({status})"
    cost = "" if one.cost is None or one.lapse_at else f": {phrases.money(one.cost, one.currency)}"
    return f"{what}{cost}{status}"


def _lines(one: Renewal, inventory: Mapping[str, Record]) -> list[str]:
    record = inventory.get(digits(one.number), NOBODY)
    told = {
        _("Environment"): one.environment,
        _("Status"): phrases.status_name(one.status, 40) or _("none stated"),
        _("Cost of a renewal"): phrases.money(one.cost, one.currency),
        _("Auto-renewal"): _auto(one),
        _("Owner"): plain(record.owner),
        _("Labels"): plain(", ".join(record.labels)),
        _("Note"): plain(record.note),
        _("Id"): plain(one.provider_id),
    }
    return [
        *(f"{name}: {value}" for name, value in told.items() if value),
        _("Change it in: the provider's dashboard"),
        _("Look it up: renewal-watch explain {number}", number=one.who),
    ]


def _auto(one: Renewal) -> str:
    if one.lapse_at and one.auto_renewal:
        return _("on, so it would renew anyway; it is meant to expire")
    if one.lapse_at:
        return _("off; it is meant to expire")
    if one.auto_renewal:
        return pgettext("auto-renewal", "on")
    return _("off: it is lost after this day unless somebody renews it")


def _by_day(tx: Transaction, names: Sequence[str], ids: Sequence[int] | None) -> Iterator[_Entry]:
    places = {watch.name: pk for pk, watch, _schedule in environment_states(tx) if watch.name in names}
    lapse_changes = lapse_changes_by(tx, actions.c.environment_id)
    changed = {name: max(last_change_of(tx, pk), lapse_changes.get(pk, FIRST)) for name, pk in places.items()}
    for (renews_on, name), those in groupby(renewals(tx, names, ids), lambda one: (one.renews_on, one.environment)):
        on = date.fromordinal(renews_on)
        told = _Day()
        for one in those:
            told.take(one)
        yield _Entry(
            key=f"{name}\nday\n{on}",
            on=on,
            changed_at=changed[name],
            summary=told.summary + (f" ({name})" if len(names) > 1 else ""),
            lines=[": ".join((_("Environment"), name)), *told.lines()],
            categories=("renewal-watch", name),
        )


class _Day:
    """What is counted of the numbers of one day and environment."""

    def __init__(self) -> None:
        self.renew = 0
        self.end = 0
        self.unpriced = 0
        self.costs: dict[str, Decimal] = {}  # of those that renew, by currency
        self.named: list[str] = []

    def take(self, one: Renewal) -> None:
        """Count one number."""
        self.renew += one.renews
        self.end += not one.renews
        if one.renews:
            self.unpriced += one.cost is None
            if one.cost is not None:
                self.costs[one.currency] = self.costs.get(one.currency, Decimal(0)) + one.cost
        if len(self.named) < NAMED:
            self.named.append(_summary(one))

    @property
    def summary(self) -> str:
        """``12 numbers renew: 12.00 USD + 3.00 EUR; 2 end unless renewed``."""
        costs = phrases.sums(self.costs.items())
        renew = ngettext("{count} number renews", "{count} numbers renew", self.renew)
        if self.renew:
            end = ngettext("{count} ends unless renewed", "{count} end unless renewed", self.end)
        else:
            end = ngettext("{count} number ends unless renewed", "{count} numbers end unless renewed", self.end)
        return "; ".join(
            filter(None, (f"{renew}{costs and ': '}{costs}" if self.renew else "", end if self.end else ""))
        )

    def lines(self) -> Iterator[str]:
        """What the summary has no room for."""
        if self.unpriced:
            yield _("Without a price: {numbers}", numbers=number(self.unpriced))
        yield from self.named
        left = self.renew + self.end - len(self.named)
        if left:
            yield ngettext("and {count} more", "and {count} more", left)


def _notes(
    tx: Transaction, settings: Settings, names: Sequence[str], now: datetime, *, is_empty: bool
) -> Iterator[_Entry]:
    """What a reader must know of the calendar itself, on today's date."""
    watches = {watch.name: watch for _pk, watch, _schedule in environment_states(tx)}
    told = {}
    for name in names:
        watch = watches.get(name, Watch(name=name))
        policy = settings.policy(settings.environment(name))
        if watch.last_success_at is None:
            told[f"{name}\nstale"] = _(
                "{environment}: the list was never read, its renewals are not known", environment=name
            )
        elif failures.is_stale(watch, policy, now):
            told[f"{name}\nstale"] = _(
                "{environment}: the list was not read since {at}",
                environment=name,
                at=phrases.instant(watch.last_success_at),
            )
    if is_empty and not told:
        told["\nempty"] = _("No renewal day is known")
    local = now.astimezone(ZoneInfo(settings.timezone))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    for key, said in told.items():
        lines = [_("What this calendar shows may have changed meanwhile. Look why with: renewal-watch doctor")]
        yield _Entry(
            key=key,
            on=local.date(),
            changed_at=midnight.astimezone(UTC),
            summary=f"renewal-watch: {said}",
            lines=lines if key != "\nempty" else [_("No listed number has a coming renewal.")],
            categories=("renewal-watch",),
        )


def _made(settings: Settings, environment: str, about: str) -> Calendar:
    made = Calendar()
    name = _("Renewals: {names}", names=environment) if environment else _("Renewals")
    made.add("prodid", f"-//renewal-watch//renewal-watch {__version__}//{language().upper()}")
    made.add("version", "2.0")
    made.add("calscale", "GREGORIAN")
    made.add("method", "PUBLISH")
    for key in ("name", "x-wr-calname"):  # RFC 7986, and what came before it
        made.add(key, vText(name))  # by itself icalendar 7.3.0 writes these two as they are, commas and all
    for key in ("description", "x-wr-caldesc"):
        made.add(key, vText(about))
    made.add("x-wr-timezone", settings.timezone)
    made.add("refresh-interval", REFRESH, parameters={"VALUE": "DURATION"})
    made.add("x-published-ttl", f"PT{REFRESH.seconds // 3600}H")
    return made


def _event(one: _Entry) -> Event:
    changed_at = one.changed_at.replace(microsecond=0)
    made = Event()
    made.add("uid", str(uuid5(_UIDS, one.key)))
    made.add("dtstamp", changed_at)
    made.add("last-modified", changed_at)
    made.add("sequence", max(0, int((changed_at - FIRST).total_seconds())))
    made.add("dtstart", one.on)
    made.add("dtend", one.on + timedelta(days=1))  # the first day that is not part of it
    made.add("summary", one.summary)
    made.add("description", "\n".join(one.lines))
    made.add("categories", list(one.categories))
    made.add("transp", "TRANSPARENT")
    if one.url:
        made.add("url", one.url)
    return made
