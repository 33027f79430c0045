"""The last look at an answer with calls in its text: gptme's own parser must read just those.

The core has made the rest of the text inert already, by its own reading.  Here the message is
put together as gptme will have it, reasoning and earlier attempts included.  Where gptme would
run anything else, would miss a call or run it before another, the last calls are taken out of
the text, one by one, until it is right; the text says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

from gptme_reliability.host_writing import well_formed
from gptme_reliability.surfaces.gptme.defuse import MANY_FENCES, Message
from gptme_reliability.surfaces.host import Piece
from gptme_reliability.types import HostFormat, Repair

_FENCE: Final = re.compile(r"(?:^|(?<=\r)|(?<=</think>)|(?<=</thinking>))(?=`{3,})", re.MULTILINE)
_SECTION: Final = re.compile(r"<(?=/?(?:tool-use|function_calls)\b)", re.IGNORECASE)
_MOST_TRIES: Final = 8
_NOT_RUN: Final = "(not run: a tool call that gptme would read otherwise where it stands)"

_Use = tuple[str, tuple[str, ...], str | None]


def settle(
    reasoning: str | None,
    text: str,
    written: Sequence[str],
    form: HostFormat,
    *,
    streamed: bool,
    shown: Sequence[Piece] = (),
) -> tuple[str | None, str, tuple[Repair, ...]]:
    """Change reasoning and text so that gptme runs the calls ``written`` in it and nothing else.

    ``shown`` is what stands before both for good.
    """
    thought = reasoning or ""
    if len(_FENCE.findall(thought + text)) > MANY_FENCES:
        # gptme's parser would take minutes; the core has read the text as that parser does.
        return reasoning, text, ()
    uses = [_uses(one, form) or [] for one in written]
    # gptme sorts tags by the first place of their names, so that some calls run only alone.
    for standing in range(len(written), max(-1, len(written) - _MOST_TRIES), -1):
        wanted, left = list(chain(*uses[:standing])), _only(written[:standing], written, text)
        for other in (thought, _inert(thought, form)):
            if _right(Message((other, left), (), streamed, shown), wanted, form):
                return _changed(reasoning, text, other, left)
    left = _inert(_only((), written, text), form)
    return _changed(reasoning, text, _inert(thought, form), left)


def _only(standing: Sequence[str], written: Sequence[str], text: str) -> str:
    """The text with what is ``written`` behind those ``standing`` as not run."""
    for one in reversed(written[len(standing) :]):
        before, call, behind = text.rpartition(one)
        text = f"{before}{_NOT_RUN}{behind}" if call else text
    return text


def _right(message: Message, wanted: Sequence[_Use], form: HostFormat) -> bool:
    content, _, _ = message.composed()
    found = _uses(content, form)
    early = _uses(content, form, streaming=True) if message.streamed else []
    return found == wanted and early is not None and all(use in wanted for use in early)


def _uses(content: str, form: HostFormat, *, streaming: bool = False) -> list[_Use] | None:
    """What gptme runs of a text; None when its parser fails on it."""
    from gptme.tools.base import ToolUse

    try:
        found = list(ToolUse.iter_from_content(content, form.form, streaming=streaming))
    # The parser meets what a model wrote; whatever it raises, this text is no safe text.
    except Exception:
        return None
    return [_use(use) for use in found if use.is_runnable]


def _use(use: Any) -> _Use:
    return use.tool, tuple(use.args or ()), use.content


def _inert(text: str, form: HostFormat) -> str:
    if form.form == "markdown":
        return _FENCE.sub(r"\\", text)
    text = _SECTION.sub("< ", text)
    return well_formed(text) if form.strict else text


def _changed(
    reasoning: str | None, text: str, thought: str, said: str
) -> tuple[str | None, str, tuple[Repair, ...]]:
    repairs = tuple(
        Repair("defuse", path, before[:60], after[:60], "presentation")
        for path, before, after in (
            ("$.reasoning", reasoning or "", thought),
            ("$.text", text, said),
        )
        if before != after
    )
    return (None if reasoning is None else thought), said, repairs
