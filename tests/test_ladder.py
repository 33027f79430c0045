"""The ways of asking again, in their order, and what is learned of a server on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from laws import native
from scenario_tables import GPTME_TOOLS

from gptme_reliability import Accept, ModelFacts, ModelOutput, Policy, Reject
from gptme_reliability.adapters.openai_request import write_request
from gptme_reliability.errors import RequestRefused
from gptme_reliability.exchange import Outcome, drive, exchange
from gptme_reliability.ladder import Learned, resampled
from gptme_reliability.types import RUNGS, ModelRequest, Rung

REQUEST = ModelRequest(
    ({"role": "user", "content": "List the files with ls."},),
    tuple(GPTME_TOOLS),
    params={"temperature": 0, "top_p": 0.1},
)
PATIENT = Policy(retries=9)
CALL = ModelOutput(tool_calls=[native("shell", {"command": "ls"})])
WORDS = ModelOutput("There is nothing to list.")


def bad(number: int) -> ModelOutput:
    """A fault of its own for each number."""
    return ModelOutput(tool_calls=[native(f"nosuch_{number}", {})])


class Model:
    """Answers by position, and refuses what is named."""

    def __init__(self, *outputs: ModelOutput, refuses: Mapping[Rung, bool] | None = None) -> None:
        self.outputs = outputs
        self.refuses = refuses or {}
        self.asked: list[ModelRequest] = []

    def __call__(self, request: ModelRequest) -> ModelOutput:
        self.asked.append(request)
        kind = rung(request)
        if kind in self.refuses:
            raise RequestRefused(tools=self.refuses[kind]) from TimeoutError("the server's own")
        return self.outputs[min(len(self.asked), len(self.outputs)) - 1]

    @property
    def rungs(self) -> list[Rung]:
        return [rung(request) for request in self.asked]


def rung(request: ModelRequest) -> Rung:
    """What a request looks like; ``re_ask`` is the host's own, whatever is said in it."""
    body = write_request(request)
    tools = body.get("tools") or []
    assert tools or "tool_choice" not in body
    if "json_schema" in body.get("response_format", {}):
        assert not tools
        return "structure"
    if not tools:
        return "prompt"
    talks = tools[-1]["function"]["name"] == "respond"
    if body.get("tool_choice") == "required" and talks:
        return "force"
    return "resample" if "seed" in body else "re_ask"


def run(
    model: Model,
    policy: Policy = PATIENT,
    request: ModelRequest = REQUEST,
    learned: Learned | None = None,
    **known: Any,
) -> Outcome:
    return drive(exchange(request, policy, ModelFacts(**known), learned=learned), model)


def test_from_the_mildest_to_the_last() -> None:
    """A new fault each time: every way is tried once, then it is told again."""
    model = Model(*map(bad, range(12)))
    outcome = run(model, Policy(retries=6))
    assert model.rungs == ["re_ask", "re_ask", "resample", "force", "structure", "prompt", "re_ask"]
    assert isinstance(outcome.verdict, Reject)


def test_the_same_fault_again_needs_another_way() -> None:
    """Not another telling; drawing again comes last, and then it ends."""
    model = Model(bad(1))
    outcome = run(model)
    assert model.rungs == ["re_ask", "re_ask", "force", "structure", "prompt", "resample"]
    assert isinstance(outcome.verdict, Reject)
    assert outcome.verdict.reason.endswith("it failed in the same way 6 times")


@pytest.mark.parametrize("count", range(len(RUNGS) + 1))
def test_a_call_that_comes_is_taken(count: int) -> None:
    """On whatever rung, and nothing is asked behind it."""
    model = Model(*map(bad, range(count)), CALL)
    outcome = run(model)
    assert isinstance(outcome.verdict, Accept)
    assert [call.name for call in outcome.verdict.calls] == ["shell"]
    assert len(model.asked) == count + 1


@pytest.mark.parametrize(
    ("policy", "known", "missing"),
    [
        (Policy(retries=9, force=False), {}, {"force", "structure"}),
        (Policy(retries=9), {"tool_choice": False}, {"force"}),
        (Policy(retries=9), {"response_format": False}, {"structure"}),
        (Policy(retries=9), {"native_tools": True}, {"prompt"}),
        (Policy(retries=9, rungs=("re_ask", "force")), {}, {"resample", "structure", "prompt"}),
        (Policy(retries=9, rungs=()), {}, set(RUNGS) - {"re_ask"}),
    ],
)
def test_what_there_is_not_is_not_tried(
    policy: Policy, known: dict[str, Any], missing: set[Rung]
) -> None:
    model = Model(*map(bad, range(12)))
    run(model, policy, **known)
    assert set(RUNGS) - set(model.rungs) == missing


@pytest.mark.parametrize(
    "params",
    [
        {"tool_choice": "none"},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "shell"}}},
    ],
)
def test_the_hosts_own_choice_stands(params: dict[str, Any]) -> None:
    """Nobody is forced who was told not to call, and who is forced by the host stays so."""
    model = Model(*map(bad, range(12)))
    request = replace(REQUEST, params=params)
    drive(exchange(request, Policy(retries=9)), model)
    for asked in model.asked:
        assert "response_format" not in asked.params
        if asked.tools:
            assert asked.params["tool_choice"] == params["tool_choice"]


def test_the_hosts_own_format_stands() -> None:
    """Never two formats, and never tools beside one of ours."""
    model = Model(*map(bad, range(12)))
    request = replace(REQUEST, params={"response_format": {"type": "json_object"}})
    drive(exchange(request, Policy(retries=9)), model)
    assert all("json_schema" not in str(asked.params) for asked in model.asked)


@pytest.mark.parametrize(
    "output",
    [
        ModelOutput(""),
        ModelOutput(None, reasoning="Let me see."),
    ],
    ids=["nothing", "reasoning"],
)
def test_who_did_not_try_to_call_is_not_made_to(output: ModelOutput) -> None:
    """It may have nothing to call for."""
    model = Model(output)
    run(model)
    assert set(model.rungs) <= {"re_ask", "resample"}


@pytest.mark.parametrize(
    ("policy", "rungs"),
    [
        (PATIENT, ["re_ask", "re_ask", "force"]),
        (replace(PATIENT, force=False), ["re_ask", "re_ask"]),
        (replace(PATIENT, rungs=("re_ask", "structure")), ["re_ask", "re_ask", "structure"]),
        (replace(PATIENT, rungs=("re_ask", "resample", "prompt")), ["re_ask", "re_ask"]),
    ],
)
def test_who_only_announces_is_told_once_and_made_to_once(
    policy: Policy, rungs: list[Rung]
) -> None:
    """Nobody is asked a second time to do what it says it will."""
    model = Model(ModelOutput("I will use the shell tool to list the files."))
    outcome = run(model, policy)
    assert model.rungs == rungs
    assert outcome.verdict.text == "I will use the shell tool to list the files."
    model = Model(model.outputs[0], model.outputs[0], CALL)
    assert bool(run(model, policy).verdict.calls) is (len(rungs) == 3)


def test_talking_to_the_end_under_force_is_no_answer() -> None:
    """The server forces nothing and the model did not stop: it is held otherwise."""
    endless = ModelOutput("The files, the files, the files,", finish_reason="length")
    model = Model(bad(1), bad(1), endless, CALL)
    outcome = run(model)
    assert model.rungs == ["re_ask", "re_ask", "force", "structure"]
    assert [call.name for call in outcome.verdict.calls] == ["shell"]


def test_words_under_force_are_an_answer() -> None:
    """A server that ignores the force is remembered, and asked otherwise the next time."""
    learned = Learned()
    model = Model(bad(1), bad(1), WORDS)
    outcome = run(model, learned=learned)
    assert model.rungs[-1] == "force"
    assert isinstance(outcome.verdict, Accept) and outcome.verdict.calls == ()
    assert learned.lost("force")
    again = Model(bad(1), bad(1), CALL)
    run(again, learned=learned)
    assert again.rungs[-1] == "structure"


def test_talking_under_force_is_an_answer() -> None:
    """And no sign that the server does not force."""
    learned = Learned()
    talk = ModelOutput(tool_calls=[native("respond", {"text": "Hello!"})])
    outcome = run(Model(bad(1), bad(1), talk), learned=learned)
    assert outcome.verdict.text == "Hello!"
    assert isinstance(outcome.verdict, Accept) and outcome.verdict.calls == ()
    assert not learned.lost("force")


@pytest.mark.parametrize(
    ("refused", "then"),
    [("resample", "re_ask"), ("force", "structure"), ("structure", "prompt")],
)
def test_what_a_server_refuses_is_not_asked_twice(refused: Rung, then: Rung) -> None:
    """Neither in this exchange nor in the next one."""
    learned = Learned()
    model = Model(*map(bad, range(12)), refuses={refused: False})
    run(model, learned=learned)
    position = model.rungs.index(refused)
    assert model.rungs[position + 1] == then
    again = Model(*map(bad, range(12)), refuses={refused: False})
    run(again, learned=learned)
    assert refused not in again.rungs


def test_refused_requests_count() -> None:
    """A budget of one request is one request, whatever becomes of it."""
    model = Model(bad(1), refuses={"resample": False})
    outcome = run(model, Policy(retries=1, rungs=("resample", "force", "structure")))
    assert model.rungs == ["re_ask", "resample"]
    assert isinstance(outcome.verdict, Reject)
    assert outcome.verdict.reason.endswith("the server refused to be asked again")


def test_a_server_without_tools() -> None:
    """The tools go into the prompt at once, and from the start the next time."""
    learned = Learned()
    model = Model(CALL, refuses={"re_ask": True})
    written = ModelOutput(
        '<tool_call>{"name": "shell", "arguments": {"command": "ls"}}</tool_call>'
    )
    model.outputs = (written,)
    outcome = run(model, learned=learned)
    assert model.rungs == ["re_ask", "prompt"]
    assert [call.name for call in outcome.verdict.calls] == ["shell"]
    again = Model(written, refuses={"re_ask": True})
    run(again, learned=learned)
    assert again.rungs == ["prompt"]
    known = Model(written)
    run(known, native_tools=False)
    assert known.rungs == ["prompt"]


def test_without_that_rung_the_refusal_is_the_servers_own() -> None:
    model = Model(CALL, refuses={"re_ask": True})
    with pytest.raises(TimeoutError, match="the server's own"):
        run(model, Policy(rungs=("re_ask",)))
    with pytest.raises(TimeoutError):
        run(Model(CALL, refuses={"re_ask": True, "prompt": False}))


def test_native_tools_after_all() -> None:
    """Only for who names that way, and only where the tools are told in words."""
    policy = Policy(retries=2, rungs=("re_ask", "prompt", "native"))
    model = Model(bad(0), bad(1), CALL)
    assert isinstance(run(model, policy, native_tools=False).verdict, Accept)
    assert model.rungs == ["prompt", "prompt", "re_ask"]
    assert [tool["function"]["name"] for tool in write_request(model.asked[-1])["tools"]]
    native_first = Model(*map(bad, range(9)))
    run(native_first, replace(policy, rungs=("re_ask", "native")))
    assert set(native_first.rungs) == {"re_ask"}
    unasked = Model(*map(bad, range(12)))
    run(unasked, native_tools=False)
    assert set(unasked.rungs) == {"prompt", "structure"}


def test_forced_from_the_start() -> None:
    """With the tool for talking, until the server shows that it does not force."""
    learned = Learned()
    policy = Policy(force=True)
    model = Model(bad(1), CALL)
    run(model, policy, learned=learned)
    assert model.rungs == ["force", "force"]
    run(Model(WORDS), policy, learned=learned)
    after = Model(WORDS)
    run(after, policy, learned=learned)
    assert after.rungs == ["re_ask"]
    refusing = Model(WORDS, refuses={"force": False})
    outcome = run(refusing, policy)
    assert refusing.rungs == ["force", "re_ask"]
    assert outcome.verdict == Accept(text=str(WORDS.text))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"temperature": 0.4, "seed": 1}),
        ({"temperature": 0}, {"temperature": 0.4, "seed": 1}),
        ({"temperature": 0, "top_p": 0.1}, {"temperature": 0.4, "top_p": 0.9, "seed": 1}),
        ({"temperature": 0, "top_p": 0.95}, {"temperature": 0.4, "top_p": 0.95, "seed": 1}),
        ({"temperature": 1.0, "top_p": 0.1}, {"temperature": 0.5, "top_p": 0.1, "seed": 1}),
        ({"temperature": 0.8, "seed": 7}, {"temperature": 0.4, "seed": 8}),
        ({"temperature": "hot", "seed": "x"}, {"temperature": 0.4, "seed": 1}),
    ],
)
def test_another_draw(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Milder and with another seed; a greedy model gets some room."""
    assert resampled(before) == after


def test_another_draw_keeps_to_what_the_card_admits() -> None:
    """A model that is to run cold stays cold, and is drawn from again."""
    assert resampled({"temperature": 0.05}, (0.0, 0.09)) == {"temperature": 0.09, "seed": 1}
    assert resampled({"temperature": 0.6}, (0.5, 0.7)) == {"temperature": 0.5, "seed": 1}
    model = Model(*map(bad, range(12)))
    run(model, temperature=(0.0, 0.09))
    assert model.asked[2].params["temperature"] == 0.09


def test_a_server_that_does_not_know_the_tool_for_talking() -> None:
    """Refused with it, the host's own request is sent."""
    learned = Learned()

    class Picky(Model):
        def __call__(self, request: ModelRequest) -> ModelOutput:
            if request.tools[-1].name == "respond":
                self.asked.append(request)
                raise RequestRefused(tools=False)
            return super().__call__(request)

    model = Picky(WORDS)
    run(model, Policy(respond=True), learned=learned)
    assert len(model.asked) == 2 and model.asked[1] == REQUEST
    again = Picky(WORDS)
    run(again, Policy(respond=True), learned=learned)
    assert again.asked == [REQUEST]
