"""Scripted weak models through the real ``gptme -n`` with the plugin on.

gptme asks for a call of its own accord, twice, before it takes words for the end; those
requests are its own.  The runs go two at a time in the background.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias

import pytest
from test_exchange import strict_server
from weak_gptme import HOST_TRIES, Run, converse
from weak_models import BEHAVIOURS, RETRIES, Behaviour

from gptme_reliability.evals.launch import Launcher
from gptme_reliability.quotations import text_parts
from gptme_reliability.types import RUNGS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups"),
]

Runs: TypeAlias = dict[tuple[str, bool], "Future[Run]"]

EVERYWHERE = [behaviour for behaviour in BEHAVIOURS if behaviour.everywhere]
# A run of gptme takes seconds: every third is run, whole and streamed by turns; the others
# and the other way are left to ``pytest -m full``.
JOBS = [
    (behaviour, streamed, (position % 6) == (0 if streamed else 3))
    for position, behaviour in enumerate(EVERYWHERE)
    for streamed in (True, False)
]


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """The runs of all tests that were selected, under way."""
    launcher, pool = Launcher(warm=True), ThreadPoolExecutor(2)
    found: Runs = {}
    for item in request.session.items:
        params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
        if item.fspath == request.node.fspath and "behaviour" in params:
            behaviour, streamed = params["behaviour"], params["streamed"]
            found[behaviour.name, streamed] = pool.submit(
                converse, behaviour, launcher, streamed=streamed
            )
    yield found
    launcher.kill()
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(
    ("behaviour", "streamed"),
    [
        pytest.param(
            behaviour,
            streamed,
            id=f"{behaviour.name}-{'streamed' if streamed else 'whole'}",
            marks=() if in_sample else pytest.mark.full,
        )
        for behaviour, streamed, in_sample in JOBS
    ],
)
def test_weak_model(behaviour: Behaviour, streamed: bool, runs: Runs) -> None:
    """It ends, within the budget, with what was meant and nothing else."""
    run = runs[behaviour.name, streamed].result()
    assert run.exit_code is not None, explain(run)
    # gptme's own nudges may help where no rung does.
    assert run.right or not behaviour.helped(RUNGS), explain(run)
    assert set(run.files) <= {"notes.txt", "other.txt", "marker"}, explain(run)
    hosts = run.answers + (HOST_TRIES if behaviour.fails or run.exit_code else 0)
    assert 1 <= len(run.bodies) <= hosts * (1 + RETRIES), explain(run)
    if behaviour.plain:
        assert len(run.bodies) == run.answers == run.nudges + 1, explain(run)
    for body in run.bodies:
        strict_server(_plain(body["messages"]))


def _plain(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation without two habits of gptme's: content in parts, and several messages
    in one role."""
    kept: list[dict[str, Any]] = []
    for message in messages:
        content = "".join(text_parts(message.get("content")))
        role = message["role"]
        if role in ("tool", "assistant") or not kept or kept[-1]["role"] != role:
            kept.append({**message, "content": content})
    return kept


def explain(run: Run) -> str:
    """All there is to know of a run that went wrong."""
    log = "\n".join(f"  {m['role']}: {m['content'][:500]}" for m in run.log[-8:])
    return (
        f"{run.behaviour.name}: exit code {run.exit_code}, {len(run.bodies)} requests, "
        f"{run.answers} answers, {run.nudges} nudges, files {run.files}\nlog:\n{log}\n"
        f"stderr:\n{run.stderr[-1500:]}"
    )
