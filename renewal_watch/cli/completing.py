"""What a shell completes after TAB: names from the configuration, numbers and their statuses from the database.

It is quick and never loud. A configuration or database that is missing, broken or not for this user completes nothing;
the database is read by its driver, without the library that the commands use, which would take longer to import than all
the rest takes.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from renewal_watch.settings.whole import Settings

_MOST = 100  # values offered; more is no choice
_LONGEST_S = 0.3  # for a question to the database
_PATIENCE_S = 2  # for the way to a server: the least that its library knows
_HARMLESS = re.compile(r"[\w+.@-]+")  # the shell puts a value into the command line as it is
_END = "\U0010ffff"  # sorts after all that may follow a beginning


def environments(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The environments of the configuration."""
    del param
    settings = _settings(ctx)
    return _items(((one.name, "") for one in settings.environments) if settings else (), incomplete)


def channels(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The channels of the configuration."""
    del param
    settings = _settings(ctx)
    return _items(((one.name, "") for one in settings.channels) if settings else (), incomplete)


def kinds(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Every kind of alert; a star stands for several, which no shell would leave alone."""
    del ctx, param
    from renewal_watch.model.kinds import KINDS

    return _items(((kind, "") for kind in sorted(KINDS)), incomplete)


def statuses(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The statuses that numbers have now."""
    del param
    found = _asked(ctx, "SELECT DISTINCT status, '' FROM numbers WHERE status <> '' ORDER BY 1", ())
    return _items(found, incomplete)


def numbers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The numbers that begin so, then the provider's ids that do."""
    del param
    within = ctx.params.get("environment")
    found: list[tuple[str, str]] = []
    for column in ("number", "provider_id") if incomplete else ("number",):
        query = f"""
            SELECT {column}, name || ' (' || coalesce(nullif(status, ''), 'no status') || ')'
            FROM numbers JOIN environments ON environments.id = environment_id
            WHERE {column} >= ? AND {column} < ? AND (? IS NULL OR name = ?) ORDER BY 1"""  # noqa: S608 (of two constants)
        values = (incomplete, incomplete + _END, within, within)
        some = _asked(ctx, f"{query} LIMIT {_MOST}", values)
        if len(some) == _MOST:  # with the last of all, so that the shell adds no letter that only the first ones share
            some[-1:] = _asked(ctx, f"{query} DESC LIMIT 1", values)
        found += some
    return _items(found, incomplete)


def _items(found: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    """The values that begin so and are safe to stand in a command line, each once."""
    from renewal_watch.text import plain

    told = {
        value: plain(about, 60) for value, about in found if value.startswith(incomplete) and _HARMLESS.fullmatch(value)
    }
    return [CompletionItem(value, help=about or None) for value, about in told.items()]


def _settings(ctx: click.Context) -> Settings | None:
    import logging
    import os

    from renewal_watch.config.loading import find, load
    from renewal_watch.errors import ConfigError

    logging.disable()  # a word on the terminal would stand in the line that is being typed
    given = ctx.find_root().params.get("config_path")
    try:
        return load(find(given and os.path.expanduser(given)))  # noqa: PTH111 (of text, as the shell would)
    except ConfigError:
        return None


def _asked(ctx: click.Context, query: str, values: tuple[str | None, ...]) -> list[tuple[str, str]]:
    from renewal_watch.errors import ConfigError

    settings = _settings(ctx)
    try:
        url = settings.database_url if settings else ""
    except ConfigError:
        return []
    if url.startswith("sqlite:"):
        return _asked_file(url, query, values)
    return _asked_server(url, query, values) if url else []


def _asked_server(url: str, query: str, values: tuple[str | None, ...]) -> list[tuple[str, str]]:
    """An answer that comes soon. The ways to say where a server is are SQLAlchemy's and those of PostgreSQL's library."""
    try:
        import psycopg
    except ImportError:
        return []
    try:
        with psycopg.connect(url.replace("+psycopg", "", 1), connect_timeout=_PATIENCE_S) as server:
            server.execute("SELECT set_config('statement_timeout', %s, false)", (f"{_LONGEST_S * 1000:.0f}",))
            places = query.replace("%", "%%").replace("? IS NULL", "?::text IS NULL").replace("?", "%s")
            return server.execute(places, values).fetchmany(_MOST)
    except psycopg.Error:
        return []


def _asked_file(url: str, query: str, values: tuple[str | None, ...]) -> list[tuple[str, str]]:
    import sqlite3
    import time
    from urllib.parse import quote, unquote

    path = unquote(url.removeprefix("sqlite:///"))
    until = time.monotonic() + _LONGEST_S
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=_LONGEST_S)) as file:
            file.set_progress_handler(lambda: time.monotonic() > until, 10_000)
            return file.execute(query, values).fetchmany(_MOST)
    except sqlite3.Error:
        return []
