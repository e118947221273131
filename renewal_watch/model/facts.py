"""What happened, as facts: alerts carry them, and words are made of them whenever somebody is notified. Pure.

The facts of each kind stand in ``alerts/*_facts.py``, one struct for each thing that can be said, with its words. They are
kept with the alert, so that a reminder is worded anew.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from renewal_watch.model.numbers import PhoneNumber

Words = tuple[str, str]  # the few words for a subject; the whole line with what to do


class Facts(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """What happened: the base of all that an alert may say. Its name is kept with it."""

    def words(self) -> Words:
        """Headline and sentence, in plain words."""
        raise NotImplementedError

    def brief(self) -> str:
        """What it is in two or three words after a number's name: ``suspended``; "" where the kind's group says it."""
        return ""


class Written(Facts, frozen=True):
    """Words that were sent, or that are a report of their own: nothing is known but these."""

    headline: str
    text: str
    short: str = ""

    def words(self) -> Words:
        """As they are."""
        return self.headline, self.text

    def brief(self) -> str:
        """As it is."""
        return self.short


class Around(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """What is added to the words of facts: who uses the number, that it is a reminder. It is kept beside them."""

    def words(self, headline: str, text: str) -> Words:
        """The words with what is added."""
        raise NotImplementedError


class Because(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Why nobody is notified of something. Its name is kept with it."""

    def words(self) -> str:
        """In the middle of a sentence."""
        raise NotImplementedError


class Number(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What words need of a number as it was judged."""

    id: str
    number: str = ""
    status: str = ""
    auto_renewal: bool | None = None
    monthly_renewal_cost: Decimal | None = None
    current_price: Decimal | None = None
    currency: str | None = None

    @classmethod
    def of(cls, number: PhoneNumber) -> Number:
        """As it stands in the list."""
        return cls(
            str(number.id),
            str(number.number or ""),
            number.status,
            number.auto_renewal,
            number.monthly_renewal_cost,
            number.current_price,
            number.currency,
        )

    @property
    def cost(self) -> Decimal | None:
        """What a renewal costs: the monthly cost, else the current price."""
        return self.current_price if self.monthly_renewal_cost is None else self.monthly_renewal_cost
