"""The texts of what is told again, escalated, or to and fro. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from renewal_watch.alerts.phrases import instant, span
from renewal_watch.model.alerts import Alert
from renewal_watch.text import plain


def with_owner(text: str, owner: str, labels: Sequence[str], note: str) -> str:
    """``text`` and whose the number is, by the inventory or a rule."""
    said = [f"owner: {plain(owner)}"] * bool(owner)
    said += [f"labels: {plain(', '.join(labels))}"] * bool(labels)
    said += [f"note: {plain(note)}"] * bool(note)
    end = f" [{'; '.join(said)}]" if said else ""
    return text if end in text else f"{text}{end}"  # what is told again in its old words has it already


def flapping(alert: Alert, times: int, length: timedelta, within: timedelta) -> tuple[str, str]:
    """Something goes to and fro; ``alert`` is the change that was one too many."""
    what = alert.kind.partition(".")[0].replace("_", "-")
    who = alert.number or alert.environment or alert.topic
    headline = f"{who}: {what} keeps changing"
    return headline, (
        f"{who}{f' ({alert.environment})' * bool(alert.number)}: {what} changed {times} times within {span(length)}. Now: "
        f"{alert.text} Further changes are kept in the history and not told until it has stayed as it is for {span(within)}."
    )


def settled(who: str, at: str, what: str, within: timedelta, now: str | None) -> tuple[str, str]:
    """The end of ``flapping``; ``now`` is the sentence of what still holds, None where all is well."""
    state = f"What holds now: {now}" if now else "Nothing about it is open."
    return f"{who}: {what} has settled", (
        f"{who}{f' ({at})' * bool(at and at != who)}: {what} has not changed for {span(within)}. {state}"
    )


def quoted(text: str, at: datetime) -> str:
    """A sentence as it was told before, whose days belong to that time."""
    return f"(as told at {instant(at)}) {text}"


def reminder(
    count: int, most: int, told_at: datetime, words: tuple[str, str], todo: str, *, is_critical: bool = False
) -> tuple[str, str]:
    """A matter told again; what ``is_critical`` goes on weekly after the last of ``most``."""
    last = ""
    if count == most:
        last = " (the last one, then weekly while it holds)" if is_critical else " (the last one)"
    elif count > most:
        last = " (weekly while it holds)"
    return f"reminder: {words[0]}", f"Reminder {count}{last}, told last at {instant(told_at)}: {_ended(words[1])}{todo}"


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "]", ")")) else f"{sentence}."


def released(hidden: str, since: datetime, told_at: datetime | None, words: tuple[str, str]) -> tuple[str, str]:
    """What was hidden and still holds when that ends."""
    when = f"told last at {instant(told_at)}, then hidden" if told_at else f"found {instant(since)}, not told until now"
    return words[0], f"{words[1]} (It was {when}: {hidden}.)"


def escalated(since: datetime, now: datetime, words: tuple[str, str], todo: str) -> tuple[str, str]:
    """Nobody acknowledged or resolved it."""
    return f"nobody acted: {words[0]}", (
        f"Told at {instant(since)} and neither acknowledged nor resolved for {span(now - since)}: {_ended(words[1])}{todo}"
    )


def how_to_acknowledge(alert_id: int) -> str:
    """The end of a sentence that is told until somebody acts; it names no number, for those may be masked."""
    return f" To stop the reminders: renewal-watch ack --alert {alert_id}"
