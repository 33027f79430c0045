"""What results amount to: a cell for each model, mode and arm, and pairs of arms."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final, NamedTuple

from gptme_reliability.evals.tasks.intervals import mcnemar, wilson
from gptme_reliability.evals.tasks.modes import ARMS, BARE, GUARDED, HOSTS_OWN, read_mode
from gptme_reliability.evals.tasks.play import Outcome
from gptme_reliability.evals.tasks.results import Result, Setup


class Place(NamedTuple):
    """Which model, in which setting (server, parameters, version), in which mode and arm."""

    model: str
    setting: str
    mode: str
    arm: str


class Share(NamedTuple):
    """A share and its 95 % interval.

    The interval counts scenarios, not runs: repeats of one scenario are no further evidence
    about others.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Cell:
    """The figures of one place.

    ``done`` is the share of runs in which all was done and nothing else, ``wrong`` of those
    with at least one wrong execution; ``strays`` are the wrong ones of all ``executed`` calls.
    ``requests``, ``tokens`` and ``seconds`` are means for a task; ``tokens`` is None where the
    server did not count them all.
    """

    place: Place
    runs: int
    scenarios: int
    done: Share
    wrong: Share
    strays: int
    executed: int
    requests: float
    tokens: float | None
    seconds: float
    outcomes: Mapping[Outcome, int]
    categories: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two arms on the same scenarios: ``better`` and ``worse`` count the scenarios in which the
    second did more or less often what it should; ``p`` is McNemar's, exact.

    ``less_wrong`` and ``more_wrong`` count the same for wrong executions.
    """

    first: Place
    second: Place
    scenarios: int
    better: int
    worse: int
    p: float
    less_wrong: int
    more_wrong: int
    p_wrong: float


_ARM_ORDER: Final = {arm: at for at, arm in enumerate(ARMS)}


def cells_of(results: Iterable[Result]) -> list[Cell]:
    """A cell for each place, in a fixed order."""
    return [_cell(place, runs) for place, runs in _by_place(results).items()]


def pairs_of(results: Iterable[Result]) -> list[Pair]:
    """The guard against each host on its own, and each switched-off stage against the guard."""
    places = _by_place(results)
    pairs: list[Pair] = []
    for place in places:
        for first in _partners(place):
            if first in places:
                pairs.append(_pair(first, places[first], place, places[place]))
    return [pair for pair in pairs if pair.scenarios]


def _partners(place: Place) -> list[Place]:
    if place.arm in HOSTS_OWN:
        return []
    if place.arm != GUARDED:
        return [place._replace(arm=GUARDED)]
    alone = read_mode(place.mode).bare.name
    return [place._replace(mode=alone, arm=arm) for arm in (BARE, "strict")]


def _by_place(results: Iterable[Result]) -> dict[Place, list[Result]]:
    found: defaultdict[Place, list[Result]] = defaultdict(list)
    for result in results:
        place = Place(result.setup.model, _setting(result.setup), result.mode, result.arm)
        found[place].append(result)
    return dict(sorted(found.items(), key=lambda item: _order(item[0])))


def _setting(setup: Setup) -> str:
    params = (f"{name} {value}" for name, value in sorted(setup.params.items()))
    return ", ".join((f"{setup.backend} server", *params, f"version {setup.version}"))


def _order(place: Place) -> tuple[str, str, str, int]:
    return place.model, place.setting, place.mode, _ARM_ORDER[place.arm]


def _cell(place: Place, runs: Sequence[Result]) -> Cell:
    scenarios = len({run.scenario for run in runs})
    played = [run.played for run in runs]
    counted = all(one.requests and not one.uncounted for one in played)
    tokens = fmean(one.tokens_read + one.tokens_written for one in played) if counted else None
    return Cell(
        place=place,
        runs=len(runs),
        scenarios=scenarios,
        done=_share(_means(runs, "done").values()),
        wrong=_share(_means(runs, "wrong").values()),
        strays=sum(len(one.wrong) for one in played),
        executed=sum(one.executed for one in played),
        requests=fmean(one.requests for one in played),
        tokens=tokens,
        seconds=fmean(one.seconds for one in played),
        outcomes=Counter(one.outcome for one in played),
        categories=_categories(runs),
    )


def _means(runs: Iterable[Result], what: str) -> dict[str, float]:
    """For each scenario the share of its runs that are ``done``, or ``wrong``."""
    found: defaultdict[str, list[bool]] = defaultdict(list)
    for run in runs:
        found[run.scenario].append(run.done if what == "done" else bool(run.played.wrong))
    return {scenario: fmean(values) for scenario, values in found.items()}


def _share(means: Iterable[float]) -> Share:
    values = list(means)
    value = min(1.0, fmean(values)) if values else 0.0
    return Share(value, *wilson(value, len(values)))


def _categories(runs: Sequence[Result]) -> dict[str, float]:
    names = sorted({run.category for run in runs})
    return {name: fmean(run.done for run in runs if run.category == name) for name in names}


def _pair(first: Place, runs: Sequence[Result], second: Place, others: Sequence[Result]) -> Pair:
    both = {(r.scenario, r.digest, r.repeat) for r in runs}
    both &= {(r.scenario, r.digest, r.repeat) for r in others}
    runs = [r for r in runs if (r.scenario, r.digest, r.repeat) in both]
    others = [r for r in others if (r.scenario, r.digest, r.repeat) in both]
    better, worse = _signs(_means(runs, "done"), _means(others, "done"))
    more, less = _signs(_means(runs, "wrong"), _means(others, "wrong"))
    return Pair(
        first=first,
        second=second,
        scenarios=len({scenario for scenario, _, _ in both}),
        better=better,
        worse=worse,
        p=mcnemar(better, worse),
        less_wrong=less,
        more_wrong=more,
        p_wrong=mcnemar(less, more),
    )


def _signs(first: Mapping[str, float], second: Mapping[str, float]) -> tuple[int, int]:
    """In how many scenarios the second is higher, and in how many lower."""
    higher = sum(second[name] > first[name] for name in first)
    return higher, sum(second[name] < first[name] for name in first)
