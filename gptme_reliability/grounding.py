"""Whether a call that a model was made to write says what it said before, or what anybody said.

A model that is held to calling has to fill the tool's parameters, whether or not it has anything
to put there.  A weak one fills them with whatever comes: the call is valid, and nobody wanted
it.  So once a model has tried to call of its own accord, a call it is made to write instead may
put its words otherwise, but not in the main hold words that stand nowhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from gptme_reliability.quotations import text_parts
from gptme_reliability.types import Call, ModelOutput, ModelRequest, Violation

_WORD: Final = re.compile(r"\w+")
_STEP: Final = re.compile(r"[.\[]")
_SHOWN: Final = 60


def ungrounded(
    calls: Sequence[Call],
    request: ModelRequest,
    tried: Sequence[ModelOutput],
    faulty: Iterable[str] = (),
) -> tuple[Violation, ...]:
    """The values of ``calls`` most words of which stand nowhere: not in the conversation, not in
    the definitions of the tools, and not in what the model ``tried``.

    At the paths that were ``faulty`` another value was asked for, whatever it is.
    """
    if not calls:
        return ()
    known = frozenset(_words(_said(request, tried)))
    asked_for = frozenset(faulty)
    return tuple(
        Violation(
            "unsaid",
            path,
            f"{path.removeprefix('$.')} holds {value[:_SHOWN]!r}, which nobody said",
            written=value,
            tool=call.name,
            call=index,
        )
        for index, call in enumerate(calls)
        for path, value in _texts(call.arguments, "$")
        if asked_for.isdisjoint(_ways_to(path)) and not _is_known(value, known)
    )


def _ways_to(path: str) -> Iterator[str]:
    """A path and those above it, but not the root: what is wrong there names no value."""
    yield path
    for step in _STEP.finditer(path):
        if step.start() > 1:
            yield path[: step.start()]


def _is_known(value: str, known: frozenset[str]) -> bool:
    words = list(_words([value]))
    return 2 * sum(word in known for word in words) >= len(words)


def _said(request: ModelRequest, tried: Sequence[ModelOutput]) -> Iterator[str]:
    for message in request.messages:
        yield from text_parts(message.get("content"))
        yield _written(message.get("tool_calls"))
    for tool in request.tools:
        yield _written([tool.name, tool.description, tool.parameters])
    for output in tried:
        yield from (output.text or "", output.reasoning or "", _written(output.tool_calls))


def _written(value: Any) -> str:
    """A value as text, as far as it can be written; escapes would hide where words begin."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str) if value else ""
    except (ValueError, TypeError, RecursionError):  # what cannot be written was not said
        return ""
    return text.replace("\\n", " ")


def _words(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for word in _WORD.finditer(text):
            yield word[0].lower()


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """The strings in a value, with their paths; however deep, without recursion."""
    waiting = [(path, value)]
    while waiting:
        at, found = waiting.pop()
        if isinstance(found, str):
            yield at, found
        elif isinstance(found, Mapping):
            waiting += [(f"{at}.{key}", inner) for key, inner in found.items()]
        elif isinstance(found, list | tuple):
            waiting += [(f"{at}[{index}]", inner) for index, inner in enumerate(found)]
