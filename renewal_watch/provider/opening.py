"""Opens the provider of an environment."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import timedelta

from renewal_watch.provider.base import PATIENCE, Pace, Provider
from renewal_watch.settings.environment import PROVIDERS, Environment


def open_provider(
    environment: Environment,
    pause: Callable[[float], None],
    progress: Callable[[], None] = lambda: None,
    *,
    pace: Pace | None = None,
    patience: timedelta = PATIENCE,
) -> Provider:
    """What the settings of an environment describe. ``pause`` waits, and may raise to stop; ``progress`` is a sign of life.

    ``pace`` is asked before each request; before the first one its turn is waited for no longer than ``patience``.
    """
    module = importlib.import_module(PROVIDERS[environment.provider])
    opened: Provider = module.open_provider(environment, pause, progress, pace=pace, patience=patience)
    return opened
