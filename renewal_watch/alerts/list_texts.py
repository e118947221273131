"""The texts of alerts about an environment's list. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from renewal_watch.alerts.account_texts import consequence
from renewal_watch.alerts.phrases import (
    DASHBOARD,
    a_few,
    day,
    instant,
    numbers,
    of_numbers,
    pairs,
    span,
    which_day,
    who,
)
from renewal_watch.model.numbers import InvalidEntry, PhoneNumber
from renewal_watch.model.renewal_day import Moment
from renewal_watch.model.tracking import Flaw, Known
from renewal_watch.text import plain


def field_unreadable(field: str, form: str, those: Sequence[tuple[PhoneNumber, str]]) -> str:
    """A field that cannot be read: what it is, of how many numbers, and one as it came."""
    number, shown = min(those, key=lambda one: (who(one[0]), one[1]))  # the same one, however the list is ordered
    return f"{field} {of_numbers(len(those))} cannot be read: it is {plain(form)}, {plain(shown)} for {who(number)}"


def entries_skipped(entries: Sequence[InvalidEntry]) -> str:
    """Entries that nobody can tell the number of."""
    count = f"{len(entries)} {'entry has' if len(entries) == 1 else 'entries have'}"
    return f"{count} neither id nor number and cannot be watched: {plain(entries[0].reason)}"


def empty_why(filters: Mapping[str, str]) -> str:
    """What a list without any number may mean."""
    if filters:
        return f"the list is empty; perhaps nothing fits its filters ({pairs(filters)})"
    return "the list is empty; perhaps the token is that of another environment or account"


def nothing_watched(sandbox: int, filters: Mapping[str, str]) -> str:
    """Why an environment has no number that is watched; ``sandbox`` numbers are in its list."""
    if sandbox:
        return f"no number is watched: the list has {numbers(sandbox)}, for the sandbox only (include_sandbox)"
    return f"no number is watched: {empty_why(filters)}"


def list_empty(at: str, sandbox: int, filters: Mapping[str, str]) -> tuple[str, str]:
    """A list without any number that is watched."""
    return f"{at}: no number is watched", f"{at}: {nothing_watched(sandbox, filters)}. If that is not meant, mend it."


def not_empty(at: str, count: int) -> tuple[str, str]:
    """The end of ``list_empty``."""
    return f"{at}: numbers are watched again", f"{at}: the list has {numbers(count)}, which are watched. Nothing to do."


def unwatched(those: Sequence[PhoneNumber], at: str) -> tuple[str, str]:
    """Numbers that the list calls sandbox numbers from now on."""
    are = "is a sandbox number now and is" if len(those) == 1 else "are sandbox numbers now and are"
    return f"{at}: {numbers(len(those))} {are} not watched any more", (
        f"{at}: {numbers(len(those))} {are} not watched any more: {a_few([who(number) for number in those])}. If nobody meant "
        f"it, ask the provider; to watch them all the same, set include_sandbox = true."
    )


def invalid(flaws: Sequence[Flaw], at: str) -> tuple[str, str]:
    """Fields that cannot be read, and entries that are skipped."""
    said = "; ".join(flaw.text for flaw in flaws[:10])
    more = f"; and {len(flaws) - 10} more kinds of faults" if len(flaws) > 10 else ""  # noqa: PLR2004
    count = sum(flaw.entries for flaw in flaws)
    return f"{count} {'entry' if count == 1 else 'entries'} of the list cannot be read whole ({at})", (
        f"The list of {at}: {said}{more}. A field that cannot be read counts as unknown, all else is judged as ever. Ask the "
        f"provider."
    )


def days_unknown(count: int) -> str:
    """How many numbers have lost their renewal day."""
    return f"the renewal day {of_numbers(count)} is not known any more"


def unstated(those: Sequence[tuple[PhoneNumber, Known]], at: str) -> tuple[str, str]:
    """Numbers of which the list states no renewal day any more; the last known days go on."""
    named = [
        f"{who(number)} (last known {day(known.renews_on)})" for number, known in those if known.renews_on is not None
    ]
    said = days_unknown(len(those))
    return f"{at}: {said}", (
        f"{at}: {said}. The list states neither countdown nor date of {a_few(named)}. Their countdown goes on from what was "
        f"last known, but nobody can see whether they renew. Ask the provider, and look in {DASHBOARD} until it is back."
    )


def days_known(at: str) -> tuple[str, str]:
    """The end of ``unstated``."""
    return f"{at}: the renewal days are known again", f"{at}: the renewal days are stated again. Nothing to do."


def signs_agree(at: str) -> tuple[str, str]:
    """The end of ``contradiction``."""
    return f"{at}: the signs of the renewal days agree again", (
        f"{at}: countdown and date of every number agree again, and the countdowns move. Nothing to do."
    )


def dayless(those: Sequence[PhoneNumber], fleet: int, at: str) -> tuple[str, str]:
    """Numbers of the first list that have no renewal day."""
    whole = "any number" if len(those) == fleet else numbers(len(those))
    return f"{at}: no renewal day is known of {whole}", (
        f"{at}: no renewal day is known of {whole}: the list states neither days_until_monthly_renewal nor renewal_date of "
        f"{a_few([who(number) for number in those])}. No renewal of theirs can be told ahead, all else is watched."
    )


def signs_contradict(count: int) -> str:
    """How many numbers have signs that contradict each other."""
    return f"the signs of the renewal day {of_numbers(count)} contradict each other"


def contradiction(those: Sequence[tuple[PhoneNumber, Known]], at: str, moment: Moment) -> tuple[str, str]:
    """Numbers whose signs contradict each other, or stand still, for three lists in a row."""
    named = [
        f"{who(number)} renews on {day(known.renews_on)} ({which_day(number, known.renews_on, moment)})"
        for number, known in those
        if known.renews_on is not None
    ]
    said = signs_contradict(len(those))
    return f"{at}: {said}", (
        f"{at}: {said} for three lists in a row. The day that loses no number is believed: {'; '.join(named[:5])}"
        f"{f'; and {len(named) - 5} more' if len(named) > 5 else ''}. The list may be an old one: ask the provider, and look "  # noqa: PLR2004
        f"in {DASHBOARD} when they renew."
    )


def token_rejected(at: str, error: str, fleet: int, soon: int) -> tuple[str, str]:
    """The token does not work."""
    return f"{at}: the API token is rejected", (
        f"{at}: {error}. {consequence(fleet, soon)}. Put a new token in place; it is used at once, "
        f"until then the old one is tried at most hourly."
    )


def user_token_rejected(at: str, error: str) -> tuple[str, str]:
    """The token that only the balance is read with does not work."""
    return f"{at}: the user token is rejected, so the balance is not watched", (
        f"{at}: the balance is not held against the renewals due, for the user token does not work: {error}. All else is "
        f"watched. Put a new user token in place; it is used at the next reading."
    )


def user_token_works(at: str) -> tuple[str, str]:
    """The end of ``user_token_rejected``."""
    return f"{at}: the user token works again", f"{at}: the balance is read and watched again. Nothing to do."


def api_failing(at: str, error: str, failures: int, since: datetime, fleet: int, soon: int) -> tuple[str, str]:
    """Several polls in a row gave no list."""
    return f"{at}: the API cannot be read", (
        f"{at}: {failures} polls in a row failed, since {instant(since)}; the last one: {error}. "
        f"{consequence(fleet, soon)}. The countdown goes on from what was last known."
    )


def stale(at: str, last: datetime | None, now: datetime, error: str, fleet: int, soon: int) -> tuple[str, str]:
    """No good list for too long."""
    since = f"since {instant(last)} ({span(now - last)})" if last else "ever"
    return f"{at}: nothing known since {instant(last)}" if last else f"{at}: the list was never read", (
        f"{at}: no list could be read {since}; the last poll: {error}. {consequence(fleet, soon)}."
    )


def recovered(at: str, since: datetime | None, now: datetime) -> tuple[str, str]:
    """The list can be read again."""
    blind = f" after {span(now - since)}" if since else ""
    return (
        f"{at}: the API can be read again",
        f"{at}: the list is read again{blind}. All its numbers are watched again. Nothing to do.",
    )


def list_shrunk(at: str, lost: Sequence[str], fleet: int, filters: Mapping[str, str]) -> tuple[str, str]:
    """Too many numbers are gone at once to be believed; ``lost`` are their names."""
    said = f"{len(lost)} of {numbers(fleet)} left the list at once"
    asked = f" ({pairs(filters)})" if filters else ""
    return f"{at}: {said}", (
        f"{at}: {said}: {a_few([plain(name) for name in lost])}. That looks like a fault of the provider, the token or "
        f"the filters{asked}; if it stays so for 24 hours each of them is reported as missing. Look in {DASHBOARD} now."
    )


def list_whole(at: str, since: datetime, now: datetime, gone: int) -> tuple[str, str]:
    """The end of ``list_shrunk``; ``gone`` numbers are still not in the list, too few to doubt it."""
    after = f"after {span(now - since)}"
    if gone:
        still = f"{numbers(gone)} {'is' if gone == 1 else 'are'} still not in it and will be reported as missing"
        return f"{at}: the list is almost whole again", f"{at}: most numbers are back in the list {after}; {still}."
    return f"{at}: the list is whole again", f"{at}: the numbers are back in the list {after}. Nothing to do."


def clock_off(at: str, off: timedelta) -> tuple[str, str]:
    """Tell that our clock and that of the provider's answers differ; ``off`` is how far the latter is ahead."""
    how = f"{span(abs(off))} {'behind' if off > timedelta(0) else 'ahead of'}"
    return f"{at}: this machine's clock is {how} the provider's", (
        f"{at}: this machine's clock is {how} the provider's. Days are counted by the provider's until they agree; for a day "
        f"nothing is called renewed or overdue by either alone. Set the clock (timedatectl); if it is right, ask the provider."
    )


def clock_right(at: str) -> tuple[str, str]:
    """The end of ``clock_off``."""
    return f"{at}: the clocks agree again", f"{at}: this machine's clock and the provider's agree again. Nothing to do."
