"""What became of a row: the calls of the verdict held against those that were expected."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias, get_args

from gptme_reliability.evals.equal import alike, same
from gptme_reliability.evals.recover_rows import ANYTHING, ExpectedCall, Row, same_name
from gptme_reliability.evals.recover_streaming import Shown, watch
from gptme_reliability.feedback import shorten
from gptme_reliability.pipeline import check
from gptme_reliability.types import Call, Policy, Reject, Retry, ToolDefinition, Verdict

Outcome: TypeAlias = Literal["right", "wrong", "false", "missed", "asked", "error"]
"""``right``: the expected calls run and no others, or none where none was expected.

``wrong``: a call runs that is none of the expected ones.
``false``: a call runs where none was expected.
``asked``: calls are missing, none is wrong, and the model is asked again.
``missed``: calls are missing, none is wrong, and nobody asks.
``error``: ``check`` raised.
"""
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

POLICIES: Final[Mapping[str, Policy]] = {
    "default": Policy(),
    # All classes of repairs; the laws, which no policy can loosen, hold here too.
    "permissive": Policy(allow=frozenset({"lossless", "inferred", "lossy"})),
}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one row, as it stands in the results file.

    ``expects`` is the number of expected calls, None where nobody says what is right.
    ``asked`` tells whether the model is asked again, whatever the outcome.
    ``valid`` tells whether at least one call runs and the schemas of the offered tools admit
    all of them; ``bare`` whether the answer holds nothing that looks like a call of one.
    ``shown`` is there where the row was streamed too.
    """

    line: int
    id: str
    family: str
    policy: str
    outcome: Outcome
    reason: str
    expects: int | None
    calls: list[dict[str, Any]]
    asked: bool
    valid: bool
    bare: bool
    counted: bool
    us: float
    shown: Shown | None = None

    @property
    def is_fault(self) -> bool:
        """Whether something happened that must not, whatever the model wrote."""
        return self.outcome == "error" or bool(self.shown and self.shown.early)


def score(row: Row, policy: str = "default", *, streamed: bool = False) -> Result:
    """Check a row and judge what came out; ``streamed`` runs it through the gate as well."""
    verdict: Verdict | None = None
    fault = ""
    started = time.perf_counter()
    try:
        verdict = check(row.output, row.tools, POLICIES[policy], messages=row.messages)
    except Exception as error:  # the core never raises: where it does, that is what is measured
        fault = f"check raised {type(error).__name__}: {error}"
    us = (time.perf_counter() - started) * 1e6
    outcome: Outcome = "error"
    if verdict is not None:
        outcome, fault = _judge(verdict, row)
    calls = verdict.calls if verdict else ()
    bare = not row.output.tool_calls and not looks_like_call(row.output.text or "", row.tools)
    return Result(
        line=row.line,
        id=row.id,
        family=row.family,
        policy=policy,
        outcome=outcome,
        reason=fault,
        expects=None if row.expected is None else len(row.expected),
        calls=[{"name": call.name, "arguments": dict(call.arguments)} for call in calls],
        asked=isinstance(verdict, Retry),
        valid=bool(calls) and all(_is_valid(call, row.tools) for call in calls),
        bare=bare,
        counted=row.counted,
        us=round(us, 1),
        shown=watch(row, verdict, plain=bare and not calls) if streamed and verdict else None,
    )


def _judge(verdict: Verdict, row: Row) -> tuple[Outcome, str]:
    expected, calls = row.expected, verdict.calls
    if expected is None or _equal(calls, expected, row.loose):
        return "right", ""
    if not expected:
        return "false", f"ran {_shown(calls)}, expected no call"
    strays = _strays(calls, expected, row.loose)
    if strays or len(calls) == len(expected):
        ran = _shown(strays or calls)
        return "wrong", f"ran {ran}, expected {', '.join(map(_wanted, expected))}"
    counts = f"{len(calls)} of {len(expected)} calls"
    if isinstance(verdict, Retry):
        return "asked", f"{counts}; {_first_fault(verdict)}"
    return "missed", f"{counts}; {_first_fault(verdict)}"


def _first_fault(verdict: Verdict) -> str:
    if isinstance(verdict, Retry | Reject) and verdict.violations:
        return shorten(verdict.violations[0].message)
    if verdict.refused:
        return "refused: " + shorten(verdict.refused[0].reason)
    return "the rest is text"


def _shown(calls: Iterable[Call]) -> str:
    return ", ".join(
        shorten(f"{call.name}({json.dumps(dict(call.arguments), ensure_ascii=False)})")
        for call in calls
    )


def _wanted(call: ExpectedCall) -> str:
    first = {key: values[0] for key, values in call.arguments.items() if values}
    return shorten(f"{call.name}({json.dumps(first, ensure_ascii=False)})")


def _equal(calls: Sequence[Call], expected: Sequence[ExpectedCall], loose: bool) -> bool:
    if len(calls) != len(expected):
        return False
    if loose:
        return not _strays(calls, expected, loose)
    return all(_matches(call, e, loose) for call, e in zip(calls, expected, strict=True))


def _strays(calls: Sequence[Call], expected: Sequence[ExpectedCall], loose: bool) -> list[Call]:
    """The calls left over when as many as possible are paired with an expected one each."""
    fits = [[i for i, e in enumerate(expected) if _matches(call, e, loose)] for call in calls]
    taken: dict[int, int] = {}

    def pair(call: int, tried: set[int]) -> bool:
        for place in fits[call]:
            if place not in tried:
                tried.add(place)
                if place not in taken or pair(taken[place], tried):
                    taken[place] = call
                    return True
        return False

    return [call for index, call in enumerate(calls) if not pair(index, set())]


def _matches(call: Call, expected: ExpectedCall, loose: bool) -> bool:
    named = same_name(call.name, expected.name) if loose else call.name == expected.name
    if not named or not call.arguments.keys() <= expected.arguments.keys():
        return False
    if not expected.arguments.keys() - call.arguments.keys() <= expected.optional:
        return False
    equal = _loosely if loose else same
    return all(
        any(equal(value, right) for right in expected.arguments[key])
        for key, value in call.arguments.items()
    )


_LOOSE: Final = re.compile(r"[ ,./\-_*^]")


def _loosely(value: Any, right: Any) -> bool:
    """The same but for case, blanks and punctuation; objects list the right values of each key."""
    if right == ANYTHING:
        return True
    if isinstance(value, str) and isinstance(right, str):
        return _folded(value) == _folded(right)
    if not isinstance(right, dict):
        return alike(value, right, _loosely)
    if not isinstance(value, dict) or not value.keys() <= right.keys():
        return False
    for key, rights in right.items():
        choices = rights if isinstance(rights, list) else [rights]
        if key not in value:
            if not isinstance(rights, list) or "" not in rights:
                return False
        elif not any(_loosely(value[key], choice) for choice in choices):
            return False
    return True


def _folded(text: str) -> str:
    return _LOOSE.sub("", text).lower().replace("'", '"')


def _is_valid(call: Call, tools: Sequence[ToolDefinition]) -> bool:
    """Whether the schema admits the arguments and declares each; asked of jsonschema itself,
    so that a fault of this package's own check shows."""
    tool = next((tool for tool in tools if same_name(tool.name, call.name)), None)
    if (
        tool is None
        or not call.arguments.keys() <= (tool.parameters.get("properties") or {}).keys()
    ):
        return False
    return bool(_validator(json.dumps(tool.parameters, sort_keys=True)).is_valid(call.arguments))


@lru_cache(maxsize=512)
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(schema))


def looks_like_call(text: str, tools: Iterable[ToolDefinition]) -> bool:
    """Whether the name of an offered tool stands in the text the way calls are written.

    A rough look of its own that knows nothing of dialects: ``name(``, the value of a key such
    as ``name``, a key before a bracket, or the name before an object.
    """
    return any(_call_of(tool.name).search(text) for tool in tools)


@lru_cache(maxsize=512)
def _call_of(name: str) -> re.Pattern[str]:
    # Models escape the underscore, and write it for the dot or the dot for it.
    spelled = r"[._\\]{1,3}".join(map(re.escape, re.split(r"[._]", name)))
    word = rf"(?<![A-Za-z0-9_])(?:functions?[._:])?{spelled}(?![A-Za-z0-9_])"
    keys = "(?:(?:function|tool|recipient)_)?name|function|tool|action|api"
    return re.compile(
        rf"{word}[\"'`]?\s{{0,40}}\("
        rf"|(?:{keys})[\"']?\s{{0,40}}[:=]\s{{0,40}}[\"']{word}[\"']"
        rf"|[\"']{word}[\"']\s{{0,40}}:\s{{0,40}}[{{\[]"
        rf"|{word}(?:>|\s{{0,40}}\n\s{{0,40}})?\{{"
    )
