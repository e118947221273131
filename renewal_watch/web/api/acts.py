"""What programs and assistants may do: the deeds of the command line, each kept in the audit log with who asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import UsageError
from renewal_watch.operations import actions, silencing, times
from renewal_watch.store.incidents.listing import Wanted
from renewal_watch.text import printable
from renewal_watch.web.api import act_schemas as schemas
from renewal_watch.web.api.shapes import Parameter, integer, text_parameter
from renewal_watch.web.api.tools import NUMBER, Call, Tool, environment_parameter, found, texts_parameter

_LONGEST_COMMENT = 200  # characters

_COMMENT = text_parameter("comment", "Why, for those who read it later")
_FOR = text_parameter("for", "How long: 45m, 4h, 2d", "4h")
_INCIDENTS = texts_parameter("incidents", "Keys of incidents")


def acts(environments: Sequence[str]) -> list[Tool]:
    """All of them, for the environments of a configuration."""
    where = environment_parameter(environments, "Where the number is; needed if several environments have it")
    about = [_INCIDENTS, NUMBER, where]
    return [
        Tool(
            name="acknowledge",
            title="Somebody looks after it",
            about="Say that the person looks after incidents, by their keys or all that is open about a number: no reminders "
            "until the next cycle or until for has passed, unless it gets worse.",
            output=schemas.Acknowledged,
            run=_acknowledge,
            parameters=[*about, _FOR, _COMMENT],
            acts=True,
        ),
        Tool(
            name="take_back",
            title="Nobody looks after it",
            about="Take an acknowledgement back: reminders go on.",
            output=schemas.Acknowledged,
            run=_take_back,
            parameters=[*about, _COMMENT],
            acts=True,
        ),
        Tool(
            name="silence",
            title="Hide alerts for a while",
            about="Hide alerts about numbers, environments or of kinds until the end; what still holds then is told. "
            "All that is given must fit; of a list one is enough. Give for or until.",
            output=schemas.Silenced,
            run=_silence,
            parameters=[
                texts_parameter("numbers", "Numbers, or the beginning of many and a star: +4930*"),
                texts_parameter("environments", "Environments of the configuration"),
                texts_parameter("kinds", "Kinds of alerts, such as renewal.* or watch.stale"),
                _FOR,
                text_parameter("until", "Such as 2026-11-30 (its end) or 2026-11-30T18:00"),
                _COMMENT,
            ],
            acts=True,
            hides=True,
        ),
        Tool(
            name="end_silence",
            title="End a silence",
            about="End a silence now, by the id that silences gives: what it hid and still holds is told.",
            output=schemas.SilenceEnded,
            run=_end_silence,
            parameters=[integer("id", 1, 2**53, "Its id")],
            required=["id"],
            acts=True,
        ),
        Tool(
            name="lapse",
            title="A number is meant to go",
            about="Say that a number is meant to expire: no renewal alerts, but a final warning, and an alarm if it renews "
            "anyway. It cancels nothing at the provider.",
            output=schemas.Lapsed,
            run=lambda call: _lapse(call, is_meant=True),
            parameters=[NUMBER, where, _COMMENT],
            required=["number"],
            acts=True,
            hides=True,
        ),
        Tool(
            name="keep",
            title="A number is to stay",
            about="Take back that a number is meant to expire.",
            output=schemas.Lapsed,
            run=lambda call: _lapse(call, is_meant=False),
            parameters=[NUMBER, where, _COMMENT],
            required=["number"],
            acts=True,
        ),
        Tool(
            name="retry",
            title="Send again",
            about="Have the messages of alerts sent again that wait or failed, or all that failed; the service sends them.",
            output=schemas.Retried,
            run=_retry,
            parameters=[_ids("alerts", "Ids of alerts; without them all that failed")],
            acts=True,
            sends=True,
        ),
    ]


def _ids(name: str, about: str) -> Parameter:
    item = integer(name, 1, 2**53, about).schema
    return Parameter(name=name, schema={"type": "array", "items": item, "minItems": 1, "maxItems": 100}, about=about)


def _comment(call: Call) -> str:
    return printable(call.values.get("comment", ""), _LONGEST_COMMENT)


def _acknowledge(call: Call) -> Any:
    length = call.values.get("for")
    until = None if length is None else times.end_of(length, None, call.settings.timezone, call.now, dashes="")
    with call.store.transaction() as tx:
        meant = _meant(call, tx)
        done = actions.acknowledge(tx, meant, call.actor, _comment(call), call.now, until)
    return {**_answered(call, meant, done), "acknowledged": True, "until": until}


def _take_back(call: Call) -> Any:
    with call.store.transaction() as tx:
        meant = _meant(call, tx)
        done = actions.take_back(tx, meant, call.actor, _comment(call), call.now)
    return {**_answered(call, meant, done), "acknowledged": False, "until": None}


def _meant(call: Call, tx: Transaction) -> actions.Open:
    """What is open of the incidents that are named, and about the number. Raises UsageError."""
    parts = []
    if names := call.values.get("incidents"):
        parts.append(actions.open_of(tx, Wanted(names=names, with_folded=True), "the incidents"))
    if "number" in call.values:
        one, _ = found(call, tx)
        parts.append(actions.open_about(tx, one.known, printable(call.values["number"], 60)))
    if not parts:
        msg = "name incidents by their keys, or a number"
        raise UsageError(msg)
    return actions.together(parts)


def _answered(call: Call, meant: actions.Open, done: actions.Answered) -> dict[str, Any]:
    is_open = {one.name for one in meant.incidents.values()}
    missed = [name for name in call.values.get("incidents", ()) if name not in is_open]
    return {"said": done.said, "incidents": done.as_json(), "not_open": missed}


def _silence(call: Call) -> Any:
    values, settings = call.values, call.settings
    kinds = values.get("kinds", [])
    wanted = {key: values[key] for key in ("numbers", "environments") if key in values}
    match = silencing.meant(wanted, kinds, settings, everything=False, dashes="")
    ends_at = times.end_of(values.get("for"), values.get("until"), settings.timezone, call.now, dashes="")
    numbers = actions.about(call.store, call.routing, match, kinds)
    with call.store.transaction() as tx:
        done = actions.silence(tx, match, kinds, ends_at, call.actor, _comment(call), call.now, numbers)
    return {"said": done.said, "id": done.pk, "ends_at": ends_at, "numbers": done.numbers}


def _end_silence(call: Call) -> Any:
    pk = call.values["id"]
    with call.store.transaction() as tx:
        said = actions.end_silence(tx, pk, call.actor, call.now)
    return {"said": said, "id": pk}


def _lapse(call: Call, *, is_meant: bool) -> Any:
    do = actions.lapse if is_meant else actions.keep
    with call.store.transaction() as tx:
        one, _ = found(call, tx)
        policy = call.settings.policy(call.settings.environment(one.environment))
        done = do(tx, one.environment, one.known, policy, call.actor, _comment(call), call.now)
    seen = done.row.as_json()
    about = {key: seen[key] for key in ("environment", "id", "number", "renews_on", "auto_renewal")}
    return {"said": done.said, "mind": done.mind, "meant_to_lapse": is_meant, **about}


def _retry(call: Call) -> Any:
    with call.store.transaction() as tx:
        count, said = actions.retry(tx, call.values.get("alerts", []), call.actor, call.now)
    return {"said": said, "deliveries": count}
