"""The same answers through the library, the plugin's client and the proxy: the same verdicts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import ratchet
from parity_world import GPTME_TOOLS, Case, Client, Said, through_the_library, through_the_proxy
from scenario_tables import CASES, DEFECTS, MUST_NOT_EXECUTE

# Whole answers all, and of the streams some: that whole equals streamed is tested elsewhere.
EVERY = {False: 1, True: 5}
FILES = (
    *("adversary", "announced", "echoes", "endings", "fuzzed", "intents"),
    *("quoted", "recover", "recovery"),
)


def cases() -> Iterator[Case]:
    """All rows that say what a model answered, and get a verdict on it."""
    for row in ratchet.family_rows():
        yield case(row["id"], row)
    for name in FILES:
        for line in (CASES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if "raw" in row:
                yield case(f"{name}/{row['id']}", row)
    for scenario in (*DEFECTS, *MUST_NOT_EXECUTE):
        answer = scenario.first
        if not {"status", "deltas", "choices"} & set(answer):
            messages = [{"role": "user", "content": scenario.prompt}]
            yield Case(scenario.id, answer, GPTME_TOOLS, messages)


def case(name: str, row: dict[str, Any]) -> Case:
    answer = {"text": row["raw"]}
    answer |= {"finish_reason": row["finish_reason"]} if "finish_reason" in row else {}
    given = {"messages": row["messages"]} if row.get("messages") else {}
    return Case(name, answer, row.get("tools", GPTME_TOOLS), **given)


def counts(one: Case) -> bool:
    """Without tools nothing is checked, and an answer that says nothing reaches nobody."""
    return bool(one.tools) and bool(
        (one.answer.get("text") or "").strip() or one.answer.get("calls")
    )


@pytest.fixture(scope="module")
def all_cases() -> list[tuple[Case, Said]]:
    return [(one, through_the_library(one)) for one in cases() if counts(one)]


@pytest.mark.slow
@pytest.mark.parametrize("streamed", [False, True])
def test_the_plugins_client(all_cases: list[tuple[Case, Said]], streamed: bool) -> None:
    client = Client()
    some = all_cases[:: EVERY[streamed]]
    found = [client.ask(one, streamed=streamed) for one, _ in some]
    client.client.close()
    compare(some, found)


@pytest.mark.slow
@pytest.mark.parametrize("streamed", [False, True])
def test_the_proxy(all_cases: list[tuple[Case, Said]], streamed: bool) -> None:
    some = all_cases[:: EVERY[streamed]]
    found = through_the_proxy([one for one, _ in some], streamed=streamed)
    compare(some, found)


def compare(wanted: list[tuple[Case, Said]], found: list[Said]) -> None:
    assert len(wanted) == len(found) > 1_400
    assert sum(bool(said.calls) for said in found) > 400
    differing = {
        one.id: (said, got) for (one, said), got in zip(wanted, found, strict=True) if said != got
    }
    assert not differing, f"{len(differing)}: {next(iter(differing.items()))}"
