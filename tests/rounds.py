"""How much a run does of what is random: a little in `make test`, the same way each time; much in `make campaign`.

``pytest --rounds N`` makes more of it: N kills, N fuzzed answers, N times as many examples of each property. With
``--seed`` they are others. ``--report FILE`` takes what each campaign counted, a line of JSON each.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
import pytest
from hypothesis import Phase

SEED = 20261123


class Chosen:
    """What this run was asked for; set before any test is read."""

    rounds: ClassVar[int | None] = None
    seed: ClassVar[int] = SEED
    report: ClassVar[Path | None] = None


def add_options(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rounds", type=int, help="how many rounds of what is random, or how many times the usual examples"
    )
    parser.addoption("--seed", type=int, help="others than those of every other run")
    parser.addoption("--report", type=Path, help="where campaigns write what they counted")


def choose(config: pytest.Config) -> None:
    Chosen.rounds = config.getoption("--rounds")
    Chosen.seed = config.getoption("--seed") or SEED
    Chosen.report = config.getoption("--report")
    is_usual = config.getoption("--seed") is None
    hypothesis.settings.register_profile(
        "ours",
        deadline=None,  # a busy machine is no fault
        derandomize=is_usual,  # what is red once is red again
        phases=(Phase.explicit, Phase.generate) if is_usual else tuple(Phase),  # to make it smaller takes minutes
        database=None,
        max_examples=_more(50),
        print_blob=not is_usual,
    )
    hypothesis.settings.load_profile("ours")


def _more(examples: int) -> int:
    return examples * Chosen.rounds if Chosen.rounds else max(2, examples * 2 // 5)


def few(examples: int, **more: Any) -> hypothesis.settings:
    """The settings of a property: in a campaign so many examples times its rounds, else two fifths of that number."""
    return hypothesis.settings(max_examples=_more(examples), **more)


def rounds(usual: int) -> int:
    """How many rounds a campaign has: ``usual`` in `make test`."""
    return Chosen.rounds or usual


def note(campaign: str, count: int, said: str) -> None:
    """What a campaign did that lost nothing, for the report and on standard output; one that lost something has failed."""
    print(f"{campaign}: {count} rounds, nothing lost; {said}")
    if Chosen.report:
        with Chosen.report.open("a", encoding="utf-8") as report:
            report.write(json.dumps({"campaign": campaign, "rounds": count, "said": said}) + "\n")
