"""``gate``: probes, compares, plays a few tasks, and says whether anything got worse."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gptme_reliability import __version__
from gptme_reliability.commands.printing import print_json, print_pairs, print_table, visible
from gptme_reliability.errors import InputError
from gptme_reliability.evals.tasks.modes import GUARDED, Mode, read_mode
from gptme_reliability.evals.tasks.play import Connection
from gptme_reliability.evals.tasks.progress import Show, progress
from gptme_reliability.evals.tasks.results import Result, Setup, results_file
from gptme_reliability.evals.tasks.run import Plan, chosen, jobs_of, result_of
from gptme_reliability.evals.tasks.scenario import Scenario, read_scenarios
from gptme_reliability.evals.tasks.smoke import Limits, recommended, shortfalls, smoke_scenarios
from gptme_reliability.probe.card import CapabilityCard, as_table, changes, facts
from gptme_reliability.probe.fields import FIELDS
from gptme_reliability.probe.worse import losses
from gptme_reliability.surfaces.capabilities import load_card, save_card
from gptme_reliability.surfaces.endpoint import ask_server, root_of
from gptme_reliability.surfaces.listing import list_models, shown
from gptme_reliability.surfaces.probing import probe_server

_WORSE: Final = 1
_KEY: Final = "GPTME_RELIABILITY_UPSTREAM_KEY"
_SEED: Final = 1
_TOKENS: Final = 1024
_MOST_NAMES: Final = 5
_LONGEST_WHY: Final = 120


@dataclass(frozen=True, slots=True)
class Options:
    """What somebody wants to know; ``commands/gate.py`` has the options."""

    url: str
    model: str | None
    baseline: Path | None
    card: Path | None
    results: Path | None
    as_json: bool
    limits: Limits
    modes: str | None
    scenarios: Path | None
    repeats: int
    params: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class _Found:
    """What came out; ``ended`` is what ended it before all tasks were played."""

    card: CapabilityCard
    baseline: CapabilityCard | None
    modes: Sequence[Mode]
    results: Sequence[Result]
    ended: InputError | KeyboardInterrupt | None

    def worse(self, limits: Limits) -> list[str]:
        """Why it is worse than before, a line each."""
        return [*self._server(), *shortfalls(self.results, limits)]

    def _server(self) -> Iterator[str]:
        if self.baseline is not None:
            for loss in losses(self.baseline, self.card):
                yield f"{loss.what}: {loss.before} before, {loss.after} now"
            return
        for name in self.card.failed():
            found = self.card.found[name]
            note = f" ({found.note})" if found.note else ""
            yield f"{FIELDS[name].asks}: {found.value}{note}"


def gate(options: Options) -> int:
    """Judge a server and its model, and print why; 1 where something got worse.

    Raises:
        InputError: it cannot be asked, or a file or a mode is wrong.
        KeyboardInterrupt: somebody interrupted it; what was finished is printed before.
    """
    baseline = _baseline(options)
    scenarios = chosen(_scenarios(options), "*")
    modes = [read_mode(text) for text in options.modes.split(",")] if options.modes else []
    _require_listed(options)
    with progress() as show:
        card = _probed(options, show)
        if options.card is not None:
            save_card(card, options.card)
        modes = modes or [recommended(card)]
        plan = Plan(scenarios, modes, [GUARDED], options.repeats)
        results: list[Result] = []
        ended = _play(options, card, plan, results, show)
    found = _Found(card, baseline, modes, results, ended)
    worse = [] if ended else found.worse(options.limits)
    if options.as_json:
        _print_json(found, worse)
    else:
        _print(options, found, worse)
    if ended is not None:
        raise ended
    return _WORSE if worse else 0


# --- before anything is asked -------------------------------------------------------------


def _baseline(options: Options) -> CapabilityCard | None:
    if options.baseline is None:
        return None
    if options.card is not None and options.card.resolve() == options.baseline.resolve():
        # A worse card would be the baseline of the next run, which then passes.
        raise InputError("--card must not replace the baseline; copy it there when it is good")
    card = load_card(options.baseline)
    if card is None:
        raise InputError(f"there is no baseline {options.baseline}; make one with --card")
    return card


def _scenarios(options: Options) -> list[Scenario]:
    return read_scenarios(options.scenarios) if options.scenarios else smoke_scenarios()


def _require_listed(options: Options) -> None:
    """That the server has the model, as far as it says.

    llama.cpp lists one name and answers to all: there the probe tells what it runs.
    """
    if options.model is None:
        return
    listed = list_models(options.url).models
    name = options.model.removeprefix("local/")
    if not listed or {name, f"{name}:latest"} & set(listed):
        return
    if ask_server(options.url, name).backend == "llama.cpp":
        return
    some = ", ".join(listed[:_MOST_NAMES]) + (", ..." if len(listed) > _MOST_NAMES else "")
    raise InputError(f"{shown(options.url)} has no model {name!r}; it lists: {some}")


# --- asking -------------------------------------------------------------------------------


def _probed(options: Options, show: Show) -> CapabilityCard:
    card, _ = probe_server(
        options.url,
        options.model,
        key=os.environ.get(_KEY) or None,
        seconds=options.seconds,
        started=lambda model, backend: None,
        asking=lambda made: show(made, None, "requests to probe the server"),
    )
    return card


def _play(
    options: Options, card: CapabilityCard, plan: Plan, results: list[Result], show: Show
) -> InputError | KeyboardInterrupt | None:
    """Play the tasks; adds to ``results`` as they come, returns what ended it too early."""
    params = {"max_tokens": _TOKENS, **options.params}
    connection = Connection(
        endpoint=f"{root_of(options.url)}/v1",
        model=card.model,
        key=os.environ.get(_KEY) or "none",
        params=params,
        timeout=options.seconds,
        facts=facts(card),
    )
    setup = Setup(card.model, card.backend, params, _SEED, __version__)
    jobs = jobs_of(plan)
    try:
        with results_file(options.results, replace=True) as write:
            for number, job in enumerate(jobs):
                show(number, len(jobs), job.words)
                results.append(result_of(job, setup, connection))
                write(results[-1])
    except (InputError, KeyboardInterrupt) as ended:
        return ended
    return None


# --- printing -----------------------------------------------------------------------------


def _print(options: Options, found: _Found, worse: Sequence[str]) -> None:
    card, before = found.card, found.baseline
    then = f"{before.model} at {before.endpoint}, {before.probed.date()}" if before else "none"
    chosen_by = "as asked for" if options.modes else "as its card recommends"
    print_pairs(
        [
            ("server", f"{card.endpoint}, {card.backend}"),
            ("model", card.model),
            ("runs", card.runs or ""),
            ("baseline", then),
            ("mode", f"{', '.join(mode.name for mode in found.modes)}, {chosen_by}"),
            ("card", str(options.card or "")),
            ("results", str(options.results or "")),
        ]
    )
    print_table(("task", "mode", "ended", "why"), list(map(_row, found.results)))
    for name, old, new in _changed(found):
        print(visible(f"changed: {name}: {old} -> {new}"))
    for reason in worse:
        print(visible(f"worse: {reason}"))
    if found.ended is None and not worse:
        since = (
            "nothing that the baseline has got lost" if before else "no baseline to compare with"
        )
        done = sum(result.done for result in found.results)
        print(f"good: {since}, {done} of {len(found.results)} tasks done")


def _row(result: Result) -> tuple[str, str, str, str]:
    played = result.played
    return result.scenario, result.mode, played.outcome, played.why[:_LONGEST_WHY]


def _changed(found: _Found) -> list[tuple[str, str, str]]:
    return changes(found.baseline, found.card) if found.baseline is not None else []


def _print_json(found: _Found, worse: Sequence[str]) -> None:
    tasks = [
        {
            "task": result.scenario,
            "mode": result.mode,
            "repeat": result.repeat,
            "ended": result.played.outcome,
            "why": result.played.why,
            "wrong": list(result.played.wrong),
        }
        for result in found.results
    ]
    verdict = "unfinished" if found.ended is not None else "worse" if worse else "good"
    changed = {name: {"before": old, "after": new} for name, old, new in _changed(found)}
    print_json(
        {
            "verdict": verdict,
            "worse": list(worse),
            "changed": changed,
            "modes": [mode.name for mode in found.modes],
            "tasks": tasks,
            "card": as_table(found.card),
        }
    )
