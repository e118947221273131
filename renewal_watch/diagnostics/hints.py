"""What a configuration says and can hardly mean: it is taken, and warned of."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit

from renewal_watch.channels.limits import scheme_of
from renewal_watch.errors import ConfigError
from renewal_watch.model.policy import Record, Rule
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.whole import Settings
from renewal_watch.text import without_default_port

_CURRENCY = re.compile("[A-Za-z]{3}")  # ISO 4217
_ONCALL = {  # by the schemes of Apprise
    "pagerduty": "pagerduty",
    "opsgenie": "opsgenie",
    "jira": "jira",
    "goalert": "goalert",
    "goalerts": "goalert",
}
_COUNTRY = re.compile("[A-Za-z]{2}")  # ISO 3166-1 alpha-2, as the API page has it


def hints(settings: Settings, records: Mapping[str, Record]) -> list[str]:
    """A sentence for each; ``records`` are those of the inventory, by number."""
    return [
        *(hint for rule in settings.rules for hint in _of_rule(rule, records)),
        *_twice(settings.environments),
        *(hint for channel in settings.channels for hint in _of_channel(channel)),
        *_of_web(settings),
    ]


def _of_web(settings: Settings) -> Iterator[str]:
    web = settings.web
    try:
        key = web.read_key()
    except ConfigError as error:
        yield from (f"{fault}; until then no message has a link to acknowledge" for fault in error.faults)
    else:
        if key is not None and not web.public_url:
            yield "web.key: it signs links to the pages, which messages have only with public_url"
    if (settings.oidc.is_used or web.user_header is not None) and not web.actors:
        yield "web.actors: nobody who signs in by [oidc] or user_header may act; name those who may"


def strangers(key: str, wanted: Iterable[str] | None, records: Mapping[str, Record]) -> Iterator[str]:
    """What is wrong with ``labels`` or ``owners`` that no number of the inventory has."""
    if not wanted:
        return
    have = [one.labels if key == "labels" else (one.owner,) for one in records.values()]
    known = {each.strip().lower(): each.strip() for those in have for each in those if each}
    for one in wanted:
        if one.strip().lower() not in known:
            near = difflib.get_close_matches(one.strip().lower(), known, 1)
            meant = f"; did you mean {known[near[0]]!r}?" if near else ""
            yield f"{one!r} fits nobody; no number of the inventory has it{meant}"


def _of_rule(rule: Rule, records: Mapping[str, Record]) -> Iterator[str]:
    place = f"rules.{rule.name}.match"
    for country in rule.match.countries or ():
        if not _COUNTRY.fullmatch(country.strip()):
            yield f"{place}.countries: {country!r} fits no number; write the two letters of the country, such as US"
    for currency in rule.match.currencies or ():
        if not _CURRENCY.fullmatch(currency.strip()):
            yield f"{place}.currencies: {currency!r} fits no number; write the three letters of the currency, such as USD"
    for key, wanted in (("labels", rule.match.labels), ("owners", rule.match.owners)):
        yield from (f"{place}.{key}: {hint}" for hint in strangers(key, wanted, records))


def _twice(those: tuple[Environment, ...]) -> Iterator[str]:
    """Environments that read the same numbers of one account."""
    by_account: dict[tuple[str, str], list[Environment]] = {}
    for one in those:
        try:
            by_account.setdefault((_address(one.base_url), one.read_token()), []).append(one)
        except ConfigError:
            continue  # told where secrets are
    for group in by_account.values():
        first: dict[tuple[tuple[str, str], ...], str] = {}  # by what they ask for
        for one in group:
            asked = tuple(sorted(one.query.items()))
            other = first.get(asked) or first.get(()) or (next(iter(first.values()), "") if not asked else "")
            first.setdefault(asked, one.name)
            if other:
                yield (
                    f"environments {other} and {one.name} read the same numbers of one account, so that everything "
                    f"is told twice; leave one out, or give both filters of their own"
                )


def _of_channel(channel: Channel) -> Iterator[str]:
    """Apprise tells an on-call service each message by itself."""
    if channel.is_hook:
        return
    try:
        scheme = scheme_of(channel.read_url())
    except ConfigError:
        return  # told where secrets are
    service = _ONCALL.get(scheme)
    if service:
        yield (
            f"channels.{channel.name}: {scheme}:// opens a new incident for each message, and nothing closes it; "
            f'write service = "{service}" instead of the URL (docs/oncall.md)'
        )


def _address(base_url: str) -> str:
    parts = urlsplit(base_url.lower())
    return without_default_port(parts.scheme, parts.netloc) + parts.path.rstrip("/")
