"""What weak models do, and what their servers make of it: the words of the table's rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, Final, Literal, TypeAlias

from weak_requests import Asked, native, printed, right, words

from gptme_reliability.evals.scenarios import Answer

React: TypeAlias = Callable[[Asked], Answer]
When: TypeAlias = Callable[[Asked], bool]

DONE: Final = "The product stands in the file."
READ: Final = ("read", {"path": "notes.txt"})
OTHER: Final = ("read", {"path": "other.txt"})

# --- answers that are wrong -------------------------------------------------------------------

MISSING: Final = native("shell", {})
SYNTAX: Final = native("shell", '{"command": "echo $((1234')
TYPES: Final = native("shell", {"command": {"run": ["echo"]}})
UNKNOWN: Final = native("frobnicate", {"zork": 1})
NAMELESS: Final = native("", {"command": 7})
EMPTY: Final[Answer] = {"text": ""}
ONLY_REASONING: Final[Answer] = {"reasoning": "I should compute it.", "text": ""}
CUT: Final[Answer] = {**SYNTAX, "finish_reason": "length"}
PLAN: Final[Answer] = {"text": "I will use the `shell` tool to write the product."}
PLAN_ZH: Final[Answer] = {"text": "我将使用 `shell` 工具来计算乘积。"}
APOLOGY: Final[Answer] = {"text": "I am sorry for the mistake. It was wrong of me."}
RUN_AWAY: Final[Answer] = {"text": "and so on and on " * 1_000, "finish_reason": "length"}
RUN_AWAY_CALL: Final[Answer] = {
    **native("shell", '{"command": "echo ' + "7" * 20_000),
    "finish_reason": "length",
}
SPURIOUS: Final = native("shell", {"command": "echo oops > spurious"})


def failing(status: int, message: str) -> Answer:
    """An error of the server."""
    return {"status": status, "error": {"error": {"code": status, "message": message}}}


UNREADABLE: Final = failing(
    500, "The model produced output that does not match the expected peg-native format"
)
OVERLOADED: Final = failing(503, "Overloaded")
CRASHED: Final = failing(500, "CUDA out of memory")


def broken_off(asked: Asked) -> Answer:
    """The connection ends in the middle of a call; without a stream, before any answer."""
    if not asked.body.get("stream"):
        raise ConnectionResetError
    return {"text": "I compute", "deltas": _half_a_call()}


def _half_a_call() -> Iterator[Mapping[str, Any]]:
    function = {"name": "shell", "arguments": '{"command": "ec'}
    yield {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": function}]}
    raise ConnectionResetError


# --- when a model comes to itself -------------------------------------------------------------


def times(number: int) -> When:
    """After so many answers."""
    return lambda asked: asked.number >= number


def never(_asked: Asked) -> bool:
    """Nothing helps it."""
    return False


def told(asked: Asked) -> bool:
    """It reads what is said about its answer."""
    return asked.told


def told_and_rewound(asked: Asked) -> bool:
    """It reads that too, and goes on as it began where it sees how it began."""
    return asked.told and not asked.failed_in_sight


def resampled(asked: Asked) -> bool:
    """The dice fall otherwise."""
    return asked.resampled


def forced(asked: Asked) -> bool:
    """It must call."""
    return asked.forced


def structured(asked: Asked) -> bool:
    """Its answer is held to a schema."""
    return asked.schema is not None


def prompted(asked: Asked) -> bool:
    """It is shown its tools in the only place where it looks for them."""
    return asked.prompted


def without_tools(asked: Asked) -> bool:
    """It is not in the way of a broken template."""
    return structured(asked) or prompted(asked)


# --- how it goes on ---------------------------------------------------------------------------


def until(when: When, wrong: Answer | React) -> React:
    """The wrong answer until then, and the right one from then on."""
    return lambda asked: right(asked) if when(asked) else _answer(wrong, asked)


def by_turns(when: When, *wrong: Answer) -> React:
    """One wrong answer after the other."""

    def react(asked: Asked) -> Answer:
        return next(islice(cycle(wrong), asked.number, None))

    return until(when, react)


def depending(*ways: tuple[When, Answer | React], otherwise: Answer | React) -> React:
    """The answer of the first way that holds."""

    def react(asked: Asked) -> Answer:
        fitting = (answer for when, answer in ways if when(asked))
        return _answer(next(fitting, otherwise), asked)

    return react


def saying(text: str) -> React:
    """A plain answer, through the synthetic tool where there must be a call."""
    return lambda asked: words(asked, text)


def in_text(asked: Asked) -> Answer:
    """The right call, written as chat."""
    answer = right(asked)
    return {**printed(answer), "finish_reason": "stop"} if "calls" in answer else answer


def with_calls(*calls: tuple[str, Mapping[str, Any]], ids: tuple[Any, ...]) -> React:
    """Calls of these, with these ids, before the right one."""

    def react(asked: Asked) -> Answer:
        answer = right(asked)
        before = [
            native(name, arguments, call_id)["calls"][0]
            for (name, arguments), call_id in zip(calls, ids, strict=False)
        ]
        last = {**answer["calls"][0], "id": ids[-1]}
        return {**answer, "calls": [*before, last]}

    return lambda asked: react(asked) if asked.offered else right(asked)


def file_in_turn(asked: Asked) -> Answer:
    """Reads the one file or the other, by how many it has read."""
    name, arguments = (READ, OTHER)[asked.results % 2]
    return native(name, arguments, f"call_{asked.number}")


def the_other_file(asked: Asked) -> Answer:
    """Reads the file that it did not try to read last."""
    tried = [call for m in asked.messages for call in m.get("tool_calls") or ()]
    was_first = bool(tried) and READ[1]["path"] in tried[-1]["function"]["arguments"]
    name, arguments = OTHER if was_first else READ
    return native(name, arguments, f"call_{asked.number}")


def beside_words(text: str) -> React:
    """The right call, with words through the synthetic tool before it, or beside it."""

    def react(asked: Asked) -> Answer:
        answer = right(asked)
        if not asked.synthetic:
            return {**answer, "text": text}
        said = native(asked.synthetic, {"text": text}, "call_said")["calls"]
        return {**answer, "calls": [*said, *answer["calls"]]}

    return react


def empty_words(asked: Asked) -> Answer:
    """Says nothing through the synthetic tool."""
    return native(asked.synthetic or "respond", {"text": ""})


def _answer(given: Answer | React, asked: Asked) -> Answer:
    return given(asked) if callable(given) else given


# --- servers ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Server:
    """What a server does with tools, with a forced call, and with a schema for the answer.

    Where it holds the model to a schema most faults cannot happen any more.
    """

    tools: Literal["taken", "refused", "dropped"] = "taken"
    choice: Literal["taken", "refused", "ignored"] = "taken"
    format: Literal["taken", "refused", "broken", "ignored", "as reasoning"] = "ignored"

    def answer(self, asked: Asked, react: React) -> Answer:
        """What comes back of the model's reaction."""
        refusal = self._refusal(asked)
        if refusal is not None:
            return refusal
        if self.choice == "ignored":
            asked = asked.without("tool_choice")
        if self.format == "ignored":
            asked = asked.without("response_format")
        if self.tools == "dropped" and asked.offered:
            asked = asked.without("tools", "tool_choice")
        answer = react(asked)
        if asked.schema is not None and self.format == "as reasoning":
            return {"reasoning": answer.get("text"), "text": ""}
        return answer if asked.offered else printed(answer)

    def _refusal(self, asked: Asked) -> Answer | None:
        if asked.offered and self.tools == "refused":
            return failing(400, "registry.example/library/tiny does not support tools")
        if asked.forced and self.choice == "refused":
            return failing(400, "tool_choice 'required' is not supported")
        if asked.schema is not None and self.format == "refused":
            return failing(400, "'response_format' of type 'json_schema' is not supported")
        if asked.schema is not None and self.format == "broken":
            return failing(500, "response_format: no grammar for this model")
        return None
