"""Calls in tags, for a host that runs those: sections that it reads, and those it misses.

``own_tags`` are whole sections.  ``near_tags`` were meant as such: without the section around
them, with another tag around them, or without an end.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from gptme_reliability.dialects.host_body import Offered, as_it_stands, read_body
from gptme_reliability.dialects.host_formats import XML, decode_xml, plain_text
from gptme_reliability.dialects.shapes import Flaw, RawCall, Span
from gptme_reliability.types import Repair

_NAMES: Final = re.compile(r"<(?:invoke\s{1,16}name=[\"'])?([A-Za-z_][\w.\-]{0,120})")
_PARAMETER: Final = re.compile(r"<parameter\s{1,16}name=")
_MOST_NAMES: Final = 200
_SECTIONS: Final = (
    r"tool-use|tool_use|tooluse|tool-call|tool_call|tool-calls|tool_calls|tools?|function_calls|"
    r"function_call|use_tool|call|invoke"
)
_ATTRIBUTE: Final = r"[\w.:\-]{1,80}\s{0,4}=\s{0,4}(?:\"[^\"<]{0,2000}\"|'[^'<]{0,2000}')"
_ATTRIBUTES: Final = rf"(?P<attributes>(?:\s{{1,16}}{_ATTRIBUTE}){{0,8}})"
_VALUE: Final = re.compile(r"[\w.:\-]{1,80}\s{0,4}=\s{0,4}(?:\"([^\"<]*)\"|'([^'<]*)')")
_HEAD: Final = re.compile(
    rf"^(?P<lead>[ \t]{{0,3}})(?:<(?P<section>{_SECTIONS})>\s{{0,64}})?"
    rf"<(?P<tag>[A-Za-z_][\w.\-]{{0,120}}){_ATTRIBUTES}\s{{0,16}}(?P<empty>/?)>",
    re.MULTILINE,
)
_SECTION_ENDS: Final = re.compile(rf"\s{{0,64}}</(?:{_SECTIONS})>")
_ONE_BODY: Final = {"type": "object", "properties": {"body": {}}, "required": ["body"]}
_UNFINISHED: Final = "the output was cut off in this call"


def own_tags(text: str, offered: Offered) -> Iterator[Span]:
    """The whole sections that the host would look at, in order."""
    if "<tool-use>" not in text and "<function_calls>" not in text:
        return
    words = dict.fromkeys(found[1] for found in _NAMES.finditer(text))
    known = []
    for word in list(words)[:_MOST_NAMES]:
        tool = offered.tool(word)
        if tool is not None:
            one_body = _ONE_BODY if offered.layout(tool) == "json" else tool.parameters
            known.append(replace(tool, name=word, parameters=one_body))
    for span in decode_xml(text, known):
        if not span.closed:
            continue
        # Named parameters inside are no body: the dialect of such calls is read elsewhere.
        named = text.startswith("<function_calls>", span.start)
        if not named or not _PARAMETER.search(text, span.start, span.end):
            yield replace(span, calls=tuple(_meant(raw, offered) for raw in span.calls))


def _meant(raw: RawCall, offered: Offered) -> RawCall:
    """The call under its tool's own name, what its body holds read as the tool has it."""
    tool = offered.tool(raw.name or "")
    if tool is None or (raw.flaw is not None and raw.flaw.rule != "positional"):
        return raw
    if offered.is_own(tool.name) and raw.name in offered.blocks:
        return as_it_stands(offered, tool, raw.flaw or raw.arguments)
    if raw.flaw is not None:
        return replace(raw, name=tool.name)
    values = list(raw.arguments.values())
    body = values.pop() if values else ""
    line = " ".join(values)
    return read_body(offered, raw.name or "", line, body, raw.repairs)


def near_tags(
    text: str, begin: int, offered: Offered, taken: Mapping[int, int], *, ended: bool
) -> Iterator[Span]:
    """The calls behind ``begin`` that were meant for the host; ``taken`` are others' stretches.

    ``ended`` says that the model ended its answer itself, so that its last line is whole.
    """
    stretches = sorted(taken.items())
    position = begin
    while head := _HEAD.search(text, position):
        position = head.end()
        start = head.start() + len(head["lead"])
        found = bisect_right(stretches, (start, len(text) + 1)) - 1
        if found >= 0 and start < stretches[found][1]:
            position = max(position, stretches[found][1])
            continue
        tag = head["tag"]
        if offered.tool(tag) is None or (tag not in offered.blocks and not head["section"]):
            continue
        span = _read(text, head, start, offered, ended=ended)
        yield span
        position = max(position, span.end)


def _read(text: str, head: re.Match[str], start: int, offered: Offered, *, ended: bool) -> Span:
    tag, notes = head["tag"], []
    if head["section"] != "tool-use":
        notes.append(Repair("section_tag", "$", head["section"], "tool-use", "inferred"))
    line = " ".join(
        plain_text(double or single) for double, single in _VALUE.findall(head["attributes"])
    )
    body, end, closed = "", head.end(), True
    if not head["empty"]:
        found = _body(text, head, tag)
        if found is None:
            written = text[head.end() :]
            whole = ended and written.strip() and "<" not in written
            if not whole:
                flaw = Flaw("cut_off", _UNFINISHED)
                return Span(start, len(text), XML, (RawCall(tag, flaw=flaw),))
            body, end, closed = written, len(text), False
            notes.append(Repair("closing_tag", "$", None, f"</{tag}>", "inferred"))
        else:
            body, end, missing = found
            if missing:
                notes.append(Repair("closing_tag", "$", None, f"</{tag}>", "inferred"))
    if head["section"]:
        ending = _SECTION_ENDS.match(text, end)
        end = ending.end() if ending else end
        if ending is None and closed:
            notes.append(Repair("closing_tag", "$", None, "</tool-use>", "inferred"))
    elif ending := _SECTION_ENDS.match(text, end):
        end = ending.end()
    call = read_body(offered, tag, line, plain_text(body).strip(), notes)
    return Span(start, end, XML, (call,), closed=closed)


def _body(text: str, head: re.Match[str], tag: str) -> tuple[str, int, bool] | None:
    """The body, the index behind it, and whether the call's own end was missing.

    None where nothing ends it.
    """
    closing = text.find(f"</{tag}>", head.end())
    if closing >= 0:
        end = closing + len(tag) + 3
        return text[head.end() : closing], end, False
    section = head["section"]
    ending = text.find(f"</{section}>", head.end()) if section else -1
    if ending >= 0:
        return text[head.end() : ending], ending, True
    return None
