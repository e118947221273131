"""Who is told of what: the channels, rules, silences and reminders of the settings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from hashlib import blake2b

import msgspec

from renewal_watch.model import selectors
from renewal_watch.model.alerts import Alert
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.policy import Record, Rule
from renewal_watch.model.selectors import Effective, Fitting, Subject
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.sections import Backup, Canary, Escalation, Flapping, Reminders, Template
from renewal_watch.settings.web import Web
from renewal_watch.settings.whole import Settings

CAP_WINDOW = timedelta(hours=1)
CAP_CRITICAL = timedelta(minutes=10)  # what is critical is gathered no longer than this
WEEKLY = timedelta(days=7)  # what is critical is told again so often when its daily reminders are used up


@dataclass(frozen=True, kw_only=True)
class Routing:
    """The settings that decide who is told."""

    channels: tuple[Channel, ...] = ()
    rules: tuple[Rule, ...] = ()
    inventory: Mapping[str, Record] = field(default_factory=dict)
    reminders: Reminders = field(default_factory=Reminders)
    escalation: Escalation = field(default_factory=Escalation)
    flapping: Flapping = field(default_factory=Flapping)
    canary: Canary = field(default_factory=Canary)
    backup: Backup = field(default_factory=Backup)
    templates: tuple[Template, ...] = ()
    zone: str = "UTC"
    web: Web = field(default_factory=Web)

    @classmethod
    def of(cls, settings: Settings, inventory: Mapping[str, Record] | None = None) -> Routing:
        """The routing of a configuration."""
        return cls(
            channels=settings.channels,
            rules=settings.rules,
            inventory=inventory or {},
            reminders=settings.reminders,
            escalation=settings.escalation,
            flapping=settings.flapping,
            canary=settings.canary,
            backup=settings.backup,
            templates=settings.templates,
            zone=settings.timezone,
            web=settings.web,
        )

    @property
    def pages(self) -> str:
        """Where they are, as those see it who are told; empty where they have no address."""
        return self.web.base

    @cached_property
    def mark(self) -> str:
        """Changes with everything that may hide an alert: what was hidden under another mark is looked at again."""
        known = sorted((key, one.owner, *one.labels) for key, one in self.inventory.items())
        filters = [(c.name, c.min_severity, c.environments, c.kinds, c.by_rule_only) for c in self.channels]
        return blake2b(msgspec.json.encode([self.rules, filters, known]), digest_size=6).hexdigest()

    @cached_property
    def escalates(self) -> bool:
        """Whether anything is ever escalated."""
        return bool(self.escalation.channels) or any(rule.escalate_to for rule in self.rules)

    @cached_property
    def fitting(self) -> Fitting[Rule]:
        """The rules, by what numbers they are about."""
        return Fitting(self.rules)

    def subject(self, alert: Alert) -> Subject:
        """What rules and silences see of an alert."""
        return self.seen(alert.environment, alert.about)

    def seen(self, environment: str, number: PhoneNumber | None) -> Subject:
        """What rules and silences see of a number, or of an environment as a whole."""
        return selectors.subject(environment, number, self.inventory)

    def said(self, one: Subject) -> Effective:
        """What the rules say together."""
        return selectors.effective(self.fitting, one)

    def record(self, one: Subject) -> Record:
        """What the inventory says of a number."""
        return self.inventory.get(one.digits, selectors.NOBODY)

    @cached_property
    def _oncall(self) -> frozenset[str]:
        return frozenset(channel.name for channel in self.channels if channel.is_oncall)

    def is_oncall(self, name: str) -> bool:
        """Whether a channel is an on-call service, which is told of incidents only."""
        return name in self._oncall

    def named(self, name: str) -> Channel | None:
        """The channel called ``name``, None if the configuration has it no more."""
        return next((channel for channel in self.channels if channel.name == name), None)
