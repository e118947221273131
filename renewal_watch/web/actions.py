"""What somebody who logged in does: the deeds of the command line, asked for by a form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import UsageError
from renewal_watch.language import _, pgettext
from renewal_watch.model.actor import Actor
from renewal_watch.model.policy import Match
from renewal_watch.operations import actions
from renewal_watch.settings.values import duration
from renewal_watch.store import fleet
from renewal_watch.store.fleet import Listed
from renewal_watch.store.incidents.listing import Wanted
from renewal_watch.text import printable
from renewal_watch.web.pages.incidents import wanted
from renewal_watch.web.pages.words import LENGTHS
from renewal_watch.web.state import State

LONGEST_COMMENT = 300  # characters

Form = Mapping[str, str]
Deed = Callable[[State, Transaction, Form, Actor, datetime], str]


def acknowledge(state: State, tx: Transaction, form: Form, actor: Actor, now: datetime) -> str:
    """Somebody looks after what is open about a number, after the incidents that were ticked, or all that fit."""
    length = form.get("length", "")
    if length and length not in LENGTHS:
        raise _no_length(length)
    until = now + duration(length) if length else None
    return actions.acknowledge(tx, _open(state, tx, form), actor, _comment(form), now, until).said


def take_back(state: State, tx: Transaction, form: Form, actor: Actor, now: datetime) -> str:
    """Nobody does after all."""
    return actions.take_back(tx, _open(state, tx, form), actor, _comment(form), now).said


def lapse(state: State, tx: Transaction, form: Form, actor: Actor, now: datetime) -> str:
    """A number is meant to go."""
    one = _number(tx, form)
    policy = state.settings.policy(state.settings.environment(one.environment))
    done = actions.lapse(tx, one.environment, one.known, policy, actor, _comment(form), now)
    return "; ".join(filter(None, (done.said, done.mind)))


def keep(state: State, tx: Transaction, form: Form, actor: Actor, now: datetime) -> str:
    """It is to stay after all."""
    one = _number(tx, form)
    policy = state.settings.policy(state.settings.environment(one.environment))
    return actions.keep(tx, one.environment, one.known, policy, actor, _comment(form), now).said


def silence(state: State, tx: Transaction, form: Form, actor: Actor, now: datetime) -> str:
    """Alerts about a number are hidden for a while."""
    del state
    one = _number(tx, form)
    length = form.get("length", "")
    if length not in LENGTHS:
        raise _no_length(length)
    match = Match(ids=(one.known.provider_id,), environments=(one.environment,))
    ends_at = now + duration(length)
    is_present = one.known.missing_at is None
    return actions.silence(tx, match, (), ends_at, actor, _comment(form), now, int(is_present)).said


def end_silence(state: State, tx: Transaction, form: Form, actor: Actor, now: datetime) -> str:
    """A silence is over before its time."""
    del state
    return actions.end_silence(tx, _id(form, "silence"), actor, now)


def retry(state: State, tx: Transaction, form: Form, actor: Actor, now: datetime) -> str:
    """The deliveries of an alert are due again; without one, all that failed are."""
    del state
    return actions.retry(tx, [_id(form, "alert")] if form.get("alert") else [], actor, now)[1]


DEEDS: Mapping[str, Deed] = {
    "acknowledge": acknowledge,
    "take-back": take_back,
    "lapse": lapse,
    "keep": keep,
    "silence": silence,
    "end-silence": end_silence,
    "retry": retry,
}


def _no_length(length: str) -> UsageError:
    known = ", ".join(LENGTHS)
    return UsageError(_("length: {value} is not one of: {known}", value=repr(printable(length, 20)), known=known))


def _number(tx: Transaction, form: Form) -> Listed:
    found = fleet.one(tx, form.get("environment", ""), form.get("id", ""))
    if found is None:
        msg = _("this number is not known")
        raise UsageError(msg)
    return found


def _open(state: State, tx: Transaction, form: Form) -> actions.Open:
    """What a form is about: a number, or incidents of a list."""
    if form.get("id"):
        one = _number(tx, form)
        return actions.open_about(tx, one.known, printable(one.known.number or one.known.provider_id, 60))
    if form.get("all"):
        asked = wanted(tx, state.settings, state.routing(), form)
        return actions.open_of(
            tx,
            asked if form.get("state") else replace(asked, states=("open",)),
            pgettext("nothing is open about …", "what fits"),
        )
    if not form.get("incident"):
        msg = _("tick the incidents first, one or more")
        raise UsageError(msg)
    ids = [_whole(one, "incident") for one in form["incident"].split(",")]
    return actions.open_of(
        tx, Wanted(ids=ids, with_folded=True), pgettext("nothing is open about …", "what was ticked")
    )


def _comment(form: Form) -> str:
    return printable(form.get("comment", ""), LONGEST_COMMENT)


def _id(form: Form, name: str) -> int:
    return _whole(form.get(name, ""), name)


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):  # noqa: PLR2004 (digits of a 64-bit number)
        msg = _("{field}: {value} is not a number", field=name, value=repr(printable(text, 40)))
        raise UsageError(msg)
    return int(text)
