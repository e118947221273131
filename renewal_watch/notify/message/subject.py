"""The subject of a message: who needs action, by count and by name. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from renewal_watch.alerts.facts import facts_json
from renewal_watch.alerts.phrases import both, in_days, severity_word
from renewal_watch.language import N_, _, ngettext, number
from renewal_watch.model.alerts import Alert, Severity
from renewal_watch.model.facts import Written
from renewal_watch.model.kinds import ROWS, UNKNOWN
from renewal_watch.text import cut

EXPIRING = N_("expiring")  # what will be lost unless somebody renews it
NAMED = 3  # of many
_BRIEF = 72  # characters of one


def subject(ordered: Sequence[Alert]) -> str:
    """``[critical] production: 3 numbers need action: +49… overdue and suspended, …``; ``ordered`` is most urgent first."""
    first = ordered[0]
    if first.kind == "digest.sent":
        return f"[{first.headline.partition(':')[0]}] {first.headline.partition(': ')[2]}"
    places = {alert.environment for alert in ordered}
    place = first.environment if len(places) == 1 and first.kind != "canary.sent" else ""
    said = _said(ordered, place)
    return f"[{severity_word(first.severity)}] {said if not place or said.startswith(place) else f'{place}: {said}'}"


def _said(ordered: Sequence[Alert], place: str) -> str:
    about = _by_subject(ordered)
    needs = [those for those in about if those[0].severity > Severity.info]
    if not needs:
        named = about if len(about) <= NAMED else []
        return ", ".join(_named(those, place, whole=len(about) == 1) for those in named) or _counts(ordered, place)
    rest = _counts([one for those in about if those[0].severity == Severity.info for one in those], place)
    also = "; " + _("also {others}", others=rest) if rest else ""
    if len(needs) == 1:
        return _named(needs[0], place, whole=True) + also
    are_numbers = all(those[0].number for those in needs)
    between = ", " if are_numbers else "; "  # a headline may have commas of its own
    names = between.join(_named(those, place, whole=False) for those in needs[:NAMED])
    if len(needs) > NAMED:
        names = ngettext("{names} and {count} more", "{names} and {count} more", len(needs) - NAMED, names=names)
    if are_numbers:
        said = ngettext(
            "{count} number needs action: {names}", "{count} numbers need action: {names}", len(needs), names=names
        )
    else:
        said = ngettext("{count} needs action: {names}", "{count} need action: {names}", len(needs), names=names)
    return said + also


def _counts(alerts: Sequence[Alert], place: str) -> str:
    """How many of each group; what is about no number and the only one of its group by its headline."""
    groups = Counter(map(group_of, alerts))
    alone = {group_of(one): one for one in alerts if not one.number and groups[group_of(one)] == 1}
    return ", ".join(
        cut(alone[group].headline.removeprefix(f"{place}: "), _BRIEF) if group in alone else f"{number(count)} {group}"
        for group, count in groups.most_common()
    )


def _by_subject(ordered: Iterable[Alert]) -> list[list[Alert]]:
    """What is about one number together; the order stays."""
    found: dict[tuple[str, str], list[Alert]] = {}
    for alert in ordered:
        found.setdefault((alert.environment, alert.number_id or alert.number or f"no number: {alert.key}"), []).append(
            alert
        )
    return list(found.values())


def _named(those: Sequence[Alert], place: str, *, whole: bool) -> str:
    """One subject: ``+49… overdue and suspended``; with ``whole`` the headline of the first."""
    first = those[0]
    briefs = list(dict.fromkeys(brief(one) for one in those if one.severity == first.severity or whole))
    if not first.number or (whole and len(briefs) == 1):
        return cut(first.headline if whole else first.headline.removeprefix(f"{place}: "), _BRIEF)
    return f"{first.number} {both(briefs)}"


def brief(alert: Alert) -> str:
    """What an alert says after a number's name, in two or three words."""
    facts = alert.facts
    if isinstance(facts, Written):  # in words; in another language than English it has its facts
        facts = facts_json.decode(alert.kept) or facts
    return facts.brief() or group_of(alert)


def group_of(alert: Alert) -> str:
    """How alerts that are alike are counted: ``renewing soon``."""
    if _is_expiring(alert):
        return _(EXPIRING)
    return _(ROWS.get(alert.kind, UNKNOWN).group)


def counted(alerts: Iterable[Alert], most: int = 6) -> str:
    """How many of each kind, what is expiring by its day: ``3 will be lost in 1 day, 2 overdue``; the order stays."""
    counts = Counter((group_of(alert), alert.days_left if _is_expiring(alert) else None) for alert in alerts)
    shown = [_counted(group, left, count) for (group, left), count in list(counts.items())[:most]]
    others = sum(list(counts.values())[most:])
    return ", ".join([*shown, *([ngettext("{count} other", "{count} others", others)] if others else [])])


def _is_expiring(alert: Alert) -> bool:
    return alert.kind in ("renewal.upcoming", "renewal.due") and alert.severity > Severity.info


def _counted(group: str, left: int | None, count: int) -> str:
    if left is None:
        return f"{number(count)} {group}"
    return ngettext("{count} will be lost {when}", "{count} will be lost {when}", count, when=in_days(left))
