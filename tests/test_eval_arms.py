"""Each arm of ``eval run`` switches off its stage: on answers that only this stage mends."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import pytest
from eval_world import SCENARIOS, SOLUTIONS, connected, native, tagged

from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.scenarios import Answer
from gptme_reliability.evals.tasks.modes import (
    ABLATION,
    GUARDED,
    STAGES,
    makes_sense,
    read_mode,
)
from gptme_reliability.evals.tasks.play import Outcome, Played, play
from gptme_reliability.evals.tasks.scenario import Scenario, read_scenario

Body = Mapping[str, Any]
Model = Callable[[Body], Answer]

SEED: Final = 7
DONE: Final[Answer] = {"text": "Done."}


def results_in(body: Body) -> int:
    """How many results of calls the model was told."""
    return sum(message["role"] == "tool" for message in body["messages"])


def said(body: Body) -> str:
    """The last thing that the model was told."""
    return str(body["messages"][-1]["content"])


def solution(name: str) -> dict[str, Any]:
    """The only call that a scenario wants."""
    ((call,),) = SOLUTIONS[name]
    return call


def at_once(written: Answer) -> Model:
    """Writes this first, and gives up at whatever it is told then."""
    return lambda body: DONE if len(body["messages"]) > 1 else written


def only_if(condition: Callable[[Body], bool], right: Answer) -> Model:
    """Calls other tools, none of which exists, until it is asked in this way."""

    def answer(body: Body) -> Answer:
        if "deleted" in said(body):
            return DONE
        if condition(body):
            return right
        return native([{"name": f"erase_{len(body['messages'])}", "arguments": {}}])

    return answer


DELETE: Final = solution("single/delete")
OTHER_WORD: Final = {"name": "delete_file", "arguments": {"file": DELETE["arguments"]["path"]}}
OTHER_CASE: Final = {**DELETE, "name": "DeleteFile"}
WRAPPED: Final = {**DELETE, "arguments": {"arguments": DELETE["arguments"]}}
EVENT: Final = solution("single/event")
AS_TEXT: Final = {**EVENT, "arguments": {**EVENT["arguments"], "hour": "15"}}
QUOTED: Final = tagged([{"name": "delete_file", "arguments": {"path": "b.txt"}}])["text"]

QUOTING: Final = read_scenario(
    {
        "id": "quoting",
        "tools": ["read_file", "delete_file"],
        "given": {"files": {"a.txt": QUOTED, "b.txt": "x"}},
        "messages": [
            {"role": "user", "content": "What stands in a.txt?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "r1",
                        "type": "function",
                        "function": {"name": "read_file", "arguments": '{"path": "a.txt"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "r1", "content": QUOTED},
        ],
        "quiet": True,
    }
)


def refuses_tools(body: Body) -> Answer:
    """A server whose model does not know tools, unless they stand in the prompt."""
    if "tools" in body:
        return {"status": 400, "error": {"error": {"message": "tiny does not support tools"}}}
    return DONE if "deleted" in said(body) else tagged([DELETE])


def talks_by_a_tool(body: Body) -> Answer:
    """Calls something whatever it is told, and talks if there is a tool for it."""
    if any(tool["function"]["name"] == "respond" for tool in body["tools"]):
        return native([{"name": "respond", "arguments": {"text": "Hello!"}}])
    if results_in(body):
        return DONE
    return native([{"name": "write_file", "arguments": {"path": "hello.txt", "content": ""}}])


def goes_round(body: Body) -> Answer:
    """Looks again and again, until somebody says so."""
    if "in a row" in said(body):
        return native([DELETE])
    if said(body) == "deleted":
        return DONE
    return native([{"name": "list_files", "arguments": {}}])


def repeats_what_it_read(body: Body) -> Answer:
    """Quotes a file in which a call stands; when asked whether it meant it, it says no."""
    return {"text": QUOTED} if said(body) == QUOTED else {"text": "No, that stands in the file."}


DELETES: Final = SCENARIOS["single/delete"]


class Row(NamedTuple):
    """A model and its task, the mode, how it ends without the stage of the arm, and the arms
    that leave out this stage too."""

    model: Model
    scenario: Scenario
    mode: str
    ended: Outcome
    wider: frozenset[str] = frozenset()


ANY_CALL: Final = native([DELETE])
ASKS: Final = frozenset({"no-asking"})
GUESSES: Final = frozenset({"no-repair", "no-inferred", "no-resolve"})

ROWS: Final[Mapping[str, Row]] = {
    "no-repair": Row(at_once(native([AS_TEXT])), SCENARIOS["single/event"], "native", "no call"),
    "no-inferred": Row(
        at_once(native([WRAPPED])), DELETES, "native", "no call", frozenset({"no-repair"})
    ),
    "no-resolve": Row(
        at_once(native([OTHER_CASE])), DELETES, "native", "no call", frozenset({"no-repair"})
    ),
    "no-aliases": Row(at_once(native([OTHER_WORD])), DELETES, "native", "no call", GUESSES),
    "no-asking": Row(
        only_if(lambda body: len(body["messages"]) > 1, ANY_CALL), DELETES, "native", "refused"
    ),
    "no-resample": Row(
        only_if(lambda body: body["seed"] != SEED, ANY_CALL), DELETES, "native", "refused", ASKS
    ),
    "no-force": Row(
        only_if(lambda body: body.get("tool_choice") == "required", ANY_CALL),
        DELETES,
        "native",
        "refused",
        ASKS,
    ),
    "no-structure": Row(
        only_if(lambda body: "response_format" in body, {"text": json.dumps(DELETE)}),
        DELETES,
        "prompted",
        "refused",
        ASKS,
    ),
    "no-prompt": Row(refuses_tools, DELETES, "native", "server", ASKS),
    "no-respond": Row(talks_by_a_tool, SCENARIOS["chat/hello"], "native+respond", "wrong"),
    "no-loops": Row(goes_round, DELETES, "native", "endless", ASKS),
    "no-echo": Row(repeats_what_it_read, QUOTING, "native", "wrong", ASKS),
}


def played(arm: str, row: Row) -> Played:
    with FaultyServer(row.model) as server:
        return play(row.scenario, read_mode(row.mode), arm, connected(server.url), SEED)


def test_there_is_a_row_for_each_arm() -> None:
    assert list(ROWS) == list(ABLATION) == list(STAGES)


@pytest.mark.parametrize("own", ABLATION)
def test_only_this_stage_mends_it(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all stages the task is done; without this one it is not, and without another it is."""
    monkeypatch.setattr("gptme_reliability.surfaces.client.sleep", lambda seconds: None)
    row = ROWS[own]
    arms = [arm for arm in (GUARDED, *ABLATION) if makes_sense(arm, read_mode(row.mode))]
    found = {arm: played(arm, row).outcome for arm in arms}
    assert found[own] == row.ended
    undone = {arm for arm, outcome in found.items() if outcome != "done"}
    assert undone == {own, *row.wider}, found
