"""What a configuration can hardly mean is taken, and warned of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from renewal_watch.config.loading import load
from renewal_watch.diagnostics.hints import hints
from renewal_watch.model.policy import Record

RECORDS = {"15550000001": Record(owner="Ada", labels=("Sales", "hotline"))}


def said(folder: Path, match: str = "{}", *more: dict[str, Any]) -> list[str]:
    path = folder / "config.toml"
    path.touch(mode=0o600)
    environments = [{"name": "production"}, *more]
    text = "".join(
        f'[[environments]]\nname = "{one["name"]}"\nbase_url = "{one.get("base_url", "https://a.example/api/v1")}"\n'
        f'token = "{one.get("token", "talq_1")}"\nfilters = {one.get("filters", "{}")}\n'
        for one in environments
    )
    path.write_text(f'{text}[[rules]]\nname = "one"\nmatch = {match}\nwarn_days = [1]\n')
    return hints(load(path), RECORDS)


@pytest.mark.parametrize(
    ("match", "hint"),
    [
        ('{countries = ["USA"]}', "rules.one.match.countries: 'USA' fits no number; write the two letters"),
        ('{countries = ["us", "Germany"]}', "rules.one.match.countries: 'Germany' fits no number"),
        ('{currencies = ["DOLLAR"]}', "rules.one.match.currencies: 'DOLLAR' fits no number"),
        ('{labels = ["sale"]}', "rules.one.match.labels: 'sale' fits nobody; no number of the inventory has it"),
        ('{owners = ["Grace"]}', "rules.one.match.owners: 'Grace' fits nobody"),
    ],
)
def test_a_rule_that_fits_no_number_is_named(tmp_path: Path, match: str, hint: str) -> None:
    (found,) = said(tmp_path, match)
    assert found.startswith(hint)


@pytest.mark.parametrize("match", ["{}", '{countries = ["US", " de "]}', '{labels = [" SALES "], owners = ["ada"]}'])
def test_a_rule_that_can_fit_is_not(tmp_path: Path, match: str) -> None:
    assert said(tmp_path, match) == []


TWICE = "environments production and second read the same numbers of one account"


@pytest.mark.parametrize(
    ("second", "is_same"),
    [
        ({}, True),
        ({"base_url": "https://A.example:443/api/v1/"}, True),
        ({"filters": '{ search = "+1" }'}, True),  # a part of the whole
        ({"token": "talq_2"}, False),
        ({"base_url": "https://b.example/api/v1"}, False),
    ],
)
def test_one_account_under_two_names_is_named(tmp_path: Path, second: dict[str, str], is_same: bool) -> None:
    found = said(tmp_path, "{}", {"name": "second", **second})
    assert [one.startswith(TWICE) for one in found] == [True] * is_same


def test_parts_of_one_account_are_not_the_same_numbers(tmp_path: Path) -> None:
    parts = [{"name": f"part-{at}", "filters": f'{{ search = "+{at}" }}'} for at in range(5)]
    assert len(said(tmp_path, "{}", *parts)) == 5  # each is in the one without a filter

    (found,) = said(
        tmp_path,
        "{}",
        {"name": "other", "token": "talq_2", "filters": "{ a = 1 }"},
        {"name": "again", "token": "talq_2", "filters": "{ a = 1 }"},
        {"name": "else", "token": "talq_2", "filters": "{ a = 2 }"},
    )
    assert found.startswith("environments other and again read")


KEY = 'key = "a key of the pages that is long enough"\n'
PUBLIC = 'public_url = "https://watch.example.org"\n'
PROXY = 'user_header = "X-User"\ntrusted_proxies = ["127.0.0.1"]\n'
WEB = {
    KEY + PUBLIC: [],
    KEY: ["web.key: it signs links to the pages"],
    PUBLIC + 'key_file = "/nowhere"\n': [
        "web.key_file: /nowhere cannot be read: No such file or directory; until then"
    ],
    PROXY: ["web.actors: nobody who signs in"],
    PROXY + 'actors = ["anna"]\n': [],
}


@pytest.mark.parametrize("web", WEB)
def test_pages_on_which_something_cannot_work_are_warned_of(tmp_path: Path, web: str) -> None:
    said(tmp_path)
    path = tmp_path / "config.toml"
    path.write_text(f"{path.read_text()}[web]\n{web}")
    found = hints(load(path), RECORDS)
    assert len(found) == len(WEB[web])
    assert all(one.startswith(start) for one, start in zip(found, WEB[web], strict=True))
