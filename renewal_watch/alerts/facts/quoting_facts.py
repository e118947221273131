"""The facts of alerts that quote what other alerts said. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Union

from renewal_watch.alerts.around import AsFound, of_what
from renewal_watch.alerts.facts import (
    account_facts,
    api_facts,
    list_facts,
    number_facts,
    release_facts,
    renewal_facts,
    service_facts,
    topup_facts,
)
from renewal_watch.alerts.phrases import instant, span
from renewal_watch.language import _, ngettext
from renewal_watch.model.facts import Facts, Words, Written
from renewal_watch.text import plain

SHOWN = 5  # of what a silence hides
_MODULES = (
    renewal_facts,
    number_facts,
    release_facts,
    account_facts,
    topup_facts,
    list_facts,
    api_facts,
    service_facts,
)


def _facts_in(*modules: object) -> tuple[type[Facts], ...]:
    """The structs of facts that are defined in modules."""
    return tuple(
        one
        for module in modules
        for one in vars(module).values()
        if isinstance(one, type)
        and issubclass(one, Facts)
        and one.__module__ == getattr(module, "__name__", "")
        and "words" in vars(one)
    )


PLAIN: tuple[type[Facts], ...] = (Written, *_facts_in(*_MODULES))
if TYPE_CHECKING:
    Quoted = Facts
else:
    Quoted = Union[PLAIN]  # noqa: UP007 (of a tuple that is made here)


class SilenceEnding(Facts, frozen=True):
    """A silence that will end while it hides something critical."""

    pk: int
    author: str
    comment: str
    ends_at: datetime
    hides: tuple[str | Quoted, ...]  # the first ones; all headlines, by releases up to schema 0007
    others: int = 0

    def words(self) -> Words:
        heads = [one if isinstance(one, str) else one.words()[0] for one in self.hides[:SHOWN]]
        some, more = "; ".join(heads), self.others + len(self.hides) - len(heads)
        if more > 0:
            some = ngettext("{names}; and {count} more", "{names}; and {count} more", more, names=some)
        why = f" ({plain(self.comment)})" if self.comment else ""
        return _("silence {id} ends at {at}", id=self.pk, at=instant(self.ends_at)), _(
            "Silence {id} of {author}{comment} ends at {at} and hides what is critical: {hidden}. What still holds then is told. "
            "Look after it, or silence it anew: renewal-watch silence add",
            id=self.pk,
            author=plain(self.author),
            comment=why,
            at=instant(self.ends_at),
            hidden=some,
        )


class Settled(Facts, frozen=True):
    """The end of ``Flapping``; ``found`` is what still holds and when it was found, None where all is well.

    ``now`` is the sentence of it, by releases up to schema 0007.
    """

    who: str
    at: str
    what: str
    within: timedelta
    now: str | None = None
    found: tuple[Quoted, datetime] | None = None

    def words(self) -> Words:
        holds = self.now
        if self.found is not None:
            facts, at = self.found
            holds = AsFound(at).words(*facts.words())[1]
        state = _("What holds now: {sentence}", sentence=holds) if holds else _("Nothing about it is open.")
        said = _(
            "{who}: {what} has not changed for {length}.",
            who=f"{self.who}{f' ({self.at})' * bool(self.at)}",
            what=of_what(self.what),
            length=span(self.within),
        )
        return _("{who}: {what} has settled", who=self.who, what=of_what(self.what)), f"{said} {state}"


def as_kept(facts: Facts) -> Facts:
    """Facts that others can quote; of those that quote themselves the words."""
    return facts if isinstance(facts, PLAIN) else Written(*facts.words())


ALL = (*PLAIN, SilenceEnding, Settled)
