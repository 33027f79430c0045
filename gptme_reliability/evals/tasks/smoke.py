"""A few tasks that say whether a model and its server still work, and how many of them must."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from gptme_reliability.evals.tasks.modes import Mode
from gptme_reliability.evals.tasks.results import Result
from gptme_reliability.evals.tasks.scenario import Scenario, shipped_scenarios
from gptme_reliability.probe.card import CapabilityCard, facts

_SMOKE: Final = (
    "single/light",
    "parallel/events",
    "nested/order",
    "unicode/chinese",
    "steps/mail",
    "recovery/retry",
    "irrelevance/maths",
    "chat/hello",
)
"""One call, two calls, nested arguments, another script, two steps, a tool that fails at first,
what no tool is for, small talk."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What must hold in each mode: the least share of runs that are done, and the most runs in
    which a call did what nobody wanted."""

    least_done: float = 0.8
    most_wrong: int = 0


def smoke_scenarios() -> list[Scenario]:
    """The tasks, of those that are shipped."""
    shipped = {scenario.id: scenario for scenario in shipped_scenarios()}
    return [shipped[name] for name in _SMOKE]


def recommended(card: CapabilityCard) -> Mode:
    """How a server is best asked: with native tools unless it loses them, streamed where calls
    fare in a stream as they do in one piece."""
    native = facts(card).native_tools is not False
    alike = card.value("stream_calls") == card.value("native_tools")
    streamed = card.value("streaming") == "yes" and (alike or not native)
    return Mode("native" if native else "prompted", streamed)


def shortfalls(results: Sequence[Result], limits: Limits) -> Iterator[str]:
    """What is less than it must be, a line each."""
    in_order = sorted(results, key=lambda result: result.mode)
    for mode, group in groupby(in_order, key=lambda result: result.mode):
        runs = list(group)
        done = sum(run.done for run in runs)
        if done < limits.least_done * len(runs):
            failed = ", ".join(dict.fromkeys(run.scenario for run in runs if not run.done))
            yield (
                f"{mode}: {done} of {len(runs)} tasks done, at least {limits.least_done:.0%} "
                f"must be; not done: {failed}"
            )
        wrong = [run for run in runs if run.played.wrong]
        if len(wrong) > limits.most_wrong:
            shown = "; ".join(f"{run.scenario}: {run.played.wrong[0]}" for run in wrong)
            yield (
                f"{mode}: wrong executions in {len(wrong)} of {len(runs)} tasks, at most "
                f"{limits.most_wrong} may have one; {shown}"
            )
    broken = sum(run.played.broken for run in results)
    if broken:
        yield f"this package failed at {broken} requests, and passed them through"
