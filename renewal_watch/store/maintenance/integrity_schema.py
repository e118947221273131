"""Whether a database has the tables, columns, views and references that it should have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, exists, func, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateIndex

from renewal_watch.database.revision import HEAD
from renewal_watch.database.schema import (
    about,
    alerts,
    deliveries,
    delivery_alerts,
    entries,
    environments,
    flaps,
    incidents,
    instances,
    leases,
    metadata,
    numbers,
)
from renewal_watch.database.shape import COPYING, cause

RESTORE = "put a backup back: renewal-watch db restore FILE"
BY_HAND = "put a backup back (renewal-watch db restore FILE) or correct these rows by hand"
_VIEWS = ("fleet", "history", "poll_log", "outbox")


class Fault(NamedTuple):
    """Something that is damaged: in which table, if in one; what; and what to do."""

    table: str | None
    what: str
    todo: str

    def __str__(self) -> str:
        return f"{self.what}; {self.todo}"


def of_schema(connection: Connection) -> Iterator[Fault]:
    """Tables, columns and indexes that are missing; what is there beside them does no harm."""
    try:
        known = inspect(connection)
        there = set(known.get_table_names())
        if "alembic_version" not in there:
            yield Fault(None, "the database has no tables of renewal-watch", "make them: renewal-watch db upgrade")
            return
        revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()
        if revision is None or revision < HEAD:
            what = f"the database has the schema {revision or 'of no release'}, and this release needs {HEAD}"
            yield Fault(None, what, "bring it up to date: renewal-watch db upgrade" if revision else RESTORE)
            return
        if about.name in there:
            query = select(about.c.value).where(about.c.name == COPYING)
            if origin := connection.execute(query).scalar_one_or_none():
                yield Fault(None, f"a copy of {origin} into it was not finished", "run renewal-watch db copy again")
                return
        yield from _missing(connection, known, there)
        for name in sorted(set(_VIEWS) - set(known.get_view_names())):
            yield Fault(name, f"the view {name} is missing", RESTORE)
    except SQLAlchemyError as error:
        yield Fault(None, f"the list of tables cannot be read ({cause(error)})", RESTORE)


def _missing(connection: Connection, known: Any, there: set[str]) -> Iterator[Fault]:
    for table in metadata.sorted_tables:
        if table.name not in there:
            yield Fault(table.name, f"the table {table.name} is missing", RESTORE)
            continue
        columns = {column["name"] for column in known.get_columns(table.name)}
        for column in table.c:
            if column.name not in columns:
                yield Fault(table.name, f"the column {column.name} of the table {table.name} is missing", RESTORE)
        indexes = {index["name"] for index in known.get_indexes(table.name)}
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            if index.name not in indexes:
                sql = " ".join(str(CreateIndex(index).compile(dialect=connection.dialect)).split())
                yield Fault(
                    table.name,
                    f"the index {index.name} of the table {table.name} is missing",
                    f"make it anew in the database: {sql};",
                )
        if known.get_pk_constraint(table.name)["constrained_columns"] != [key.name for key in table.primary_key]:
            yield Fault(table.name, f"the primary key of the table {table.name} is missing", RESTORE)


def of_references(connection: Connection, there: Sequence[Table]) -> Iterator[Fault]:
    """Rows that refer to rows that are gone."""
    for table, other, where, what, todo in _wanted():
        if table not in there or other not in there:
            continue
        keys = list(table.primary_key)
        try:
            count = connection.execute(select(func.count()).select_from(table).where(where)).scalar_one()
            if not count:
                continue
            first = connection.execute(select(*keys).where(where).order_by(*keys).limit(1)).one()
        except SQLAlchemyError as error:
            yield _unreadable(table.name, cause(error))
            continue
        named = ", ".join(f"{key.name} {value!r}" for key, value in zip(keys, first, strict=True))
        yield Fault(table.name, f"the table {table.name}: {many(count)} {what}, such as {named}", todo)


def _wanted() -> Iterator[tuple[Table, Table, ColumnElement[bool], str, str]]:
    """Each table and another, which rows of the first are at fault, what is said of them, and what to do."""
    for table in metadata.sorted_tables:
        for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
            yield table, key.column.table, *_gone(key.parent, key.column), BY_HAND
    for table in (incidents, flaps):
        for name, parent in (("environment_id", environments), ("number_id", numbers)):
            where, what = _gone(table.c[name], parent.c.id)
            yield table, parent, where & (table.c[name] != 0), what, BY_HAND
    where, what = _gone(incidents.c.alert_id, alerts.c.id)
    yield incidents, alerts, where & incidents.c.resolved_at.is_(None), what, BY_HAND
    yield alerts, incidents, *_gone(alerts.c.incident_id, incidents.c.id), BY_HAND
    yield numbers, entries, ~_has(entries.c.number_id, numbers.c.id), "without an entry", BY_HAND
    waits = (deliveries.c.state == "pending") & ~_has(delivery_alerts.c.delivery_id, deliveries.c.id)
    yield deliveries, delivery_alerts, waits, "that wait without an alert", BY_HAND
    held = ~_has(instances.c.id, leases.c.instance)
    yield (
        leases,
        instances,
        held,
        "held by a daemon that is not in the table instances",
        "delete them: nobody holds them",
    )


def _has(there: Any, column: Any) -> Any:
    """Whether ``there`` has the value of ``column``."""
    return exists(select(1).where(there == column).correlate(column.table))


def _gone(column: Any, parent: Any) -> tuple[Any, str]:
    return column.is_not(None) & ~_has(parent, column), f"whose {column.name} is not in the table {parent.table.name}"


def many(count: int) -> str:
    """``1 row``, ``3 rows``."""
    return "1 row" if count == 1 else f"{count} rows"


def _unreadable(table: str, why: str) -> Fault:
    return Fault(table, f"the table {table} cannot be read whole ({why})", RESTORE)
