"""The simulated provider takes and refuses requests as the API page says."""

from __future__ import annotations

from datetime import UTC, date
from typing import Any

import pytest
from conftest import T0

from renewal_watch.provider.simulator import Provider, Rented


@pytest.fixture
def provider() -> Provider:
    fleet = [
        Rented(
            id=f"phone-uuid-{index}",
            number=f"+123456789{index}",
            country="US",
            renews_on=date(2026, 12, 23),
            price="1.00",
            auto_renewal=True,
            created_on=date(2024, 1, 15),
            anchor=23,
        )
        for index in range(3)
    ]
    return Provider(fleet=fleet, now=lambda: T0.astimezone(UTC), token="talq_x")


def asked(provider: Provider, query: str) -> tuple[int, dict[str, Any]]:
    return provider.answer(f"/api/v1/phone-numbers?{query}", f"Bearer {provider.token}")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("search=+1234567890", ["phone-uuid-0"]),  # as the API page prints it: the plus is not escaped
        ("search=%2B1234567891", ["phone-uuid-1"]),
        ("search=uuid-2", ["phone-uuid-2"]),
        ("search=nothing", []),
        ("search=UUID-1", ["phone-uuid-1"]),
        ("search=%2B12%20345%20678%2091", ["phone-uuid-1"]),
        ("has_voice=true", ["phone-uuid-0", "phone-uuid-1", "phone-uuid-2"]),
        ("has_voice=0", []),
        ("per_page=2&page=2", ["phone-uuid-2"]),
    ],
)
def test_what_fits_is_found(provider: Provider, query: str, found: list[str]) -> None:
    status, said = asked(provider, query)
    assert status == 200
    assert [one["id"] for one in said["data"]] == found


@pytest.mark.parametrize(
    "query", ["per_page=abc", "per_page=" + "9" * 5000, "page=-1", "has_voice=maybe", "has_whatsapp=yes", "type=pager"]
)
def test_what_the_page_does_not_know_is_refused_with_its_errors(provider: Provider, query: str) -> None:
    status, said = asked(provider, query)
    assert status == 422
    assert list(said["errors"]) == [query.partition("=")[0]]


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_a_failure_can_be_asked_for(provider: Provider, status: int) -> None:
    assert asked(provider, f"simulate={status}")[0] == status
