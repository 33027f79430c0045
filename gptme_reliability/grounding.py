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
    asked_for = tuple(path for path in faulty if path != "$")
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
        if not path.startswith(asked_for) and not _is_known(value, known)
    )


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
    """A value as text; escapes would hide where words begin."""
    return json.dumps(value, ensure_ascii=False, default=str).replace("\\n", " ") if value else ""


def _words(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for word in _WORD.finditer(text):
            yield word[0].lower()


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """The strings in a value, with their paths."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _texts(inner, f"{path}[{index}]")
