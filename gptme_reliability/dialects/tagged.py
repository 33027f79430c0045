"""Calls as tags: a name, then each argument between its own pair of tags.

The values are bare text; the tool's schema says later what they are (``Untyped``).  A value
ends at its closing tag, and only where the call goes on behind it, so that the same tag inside
a value stays part of it.  Sources: the chat templates and tool parsers of the named families.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from gptme_reliability.dialects.markers import CLOSING, FILLING
from gptme_reliability.dialects.shapes import Flaw, RawCall, Untyped
from gptme_reliability.repair.reading import child_path
from gptme_reliability.repair.syntax import Fault, read_value
from gptme_reliability.types import Repair

Padding: TypeAlias = Literal["none", "newline", "both"]
"""Line breaks around a value that are not part of it: never, one on each side, or one on each
side where both stand."""

_BARS: Final = r"[|｜‖]{1,2} ?"
_PREFIX: Final = rf"(?:antml:|atem:|steptml:|minimax:|{_BARS}DSML{_BARS})?"
_QUOTE: Final = r"[\"'“”]?"
_SUFFIX: Final = r"(?::opensource)?"
_KEY: Final = rf"<(?:longcat_)?arg_key{_SUFFIX}>"
_KEY_END: Final = rf"</(?:longcat_)?arg_key{_SUFFIX}>"
_VALUE: Final = rf"<(?:longcat_)?arg_value{_SUFFIX}>"


@dataclass(frozen=True, slots=True)
class Tags:
    """One family's tags; ``head`` has the group ``name``, ``key`` the groups ``key`` and ``kind``.

    ``kind`` is the family's own word for the value's type: ``string`` or ``true`` for text, any
    other for JSON.
    """

    dialect: str
    head: re.Pattern[str]
    key: re.Pattern[str]
    value_end: re.Pattern[str]
    end: re.Pattern[str]
    padding: Padding = "none"
    cdata: bool = False


def _tags(
    dialect: str, head: str, key: str, value_end: str, end: str, padding: Padding = "none"
) -> Tags:
    sources = (head, key, value_end, end)
    first, second, third, fourth = (re.compile(source, re.IGNORECASE) for source in sources)
    return Tags(dialect, first, second, third, fourth, padding, dialect == "minicpm5")


FAMILIES: Final = (
    # Qwen3-Coder and its kin; the template pads every value with one line break on each side.
    _tags(
        "qwen3_coder",
        rf"<function ?= ?{_QUOTE}(?P<name>[^<>\n\"'“”=]{{1,160}}?){_QUOTE} ?>",
        rf"<parameter ?= ?{_QUOTE}(?P<key>[^<>\n\"'“”=]{{1,160}}?){_QUOTE} ?>(?P<kind>)",
        r"</parameter>",
        r"</function>",
        "newline",
    ),
    # Anthropic's older text form, MiniMax M2, DeepSeek V3.2 and V4, Step-3, Muse Glimmer.
    _tags(
        "anthropic_xml",
        rf"<{_PREFIX}invoke\s{{1,8}}name ?= ?[\"'“](?P<name>[^\"'”\n]{{0,160}})[\"'”]\s{{0,8}}"
        r"(?P<empty>/)?>",
        rf"<{_PREFIX}parameter\s{{1,8}}name ?= ?[\"'“](?P<key>[^\"'”\n]{{1,160}})[\"'”]"
        r"(?:\s{1,8}string ?= ?[\"'](?P<kind>true|false)[\"'])?\s{0,8}>",
        rf"</{_PREFIX}parameter>",
        rf"</{_PREFIX}invoke>",
        "both",
    ),
    _tags(
        "minicpm5",
        r"<function ?name ?= ?[\"'](?P<name>[^\"'\n<>]{1,160})[\"'] ?(?P<empty>/)?>",
        r"<param(?:eter)? ?name ?= ?[\"'](?P<key>[^\"'\n<>]{1,160})[\"'] ?>(?P<kind>)",
        r"</param(?:eter)?>",
        r"</function>",
        "both",
    ),
    # GLM-4.5 to 5, Hunyuan 3, Laguna, LongCat: the name stands bare behind the marker.
    _tags(
        "glm45",
        rf"(?P<name>[A-Za-z_][\w.\-]{{0,120}})\s{{0,64}}(?:<tool_sep{_SUFFIX}>\s{{0,64}})?"
        rf"(?=</?(?:longcat_)?arg_(?:key|value){_SUFFIX}>|</(?:longcat_)?tool_call{_SUFFIX}>)",
        rf"(?:{_KEY}){{1,2}} ?(?P<key>[^<>\n]{{1,160}}?)\s{{0,64}}"
        rf"(?:(?:{_KEY_END}\s{{0,64}}){{1,2}}(?:{_VALUE})?|{_VALUE})(?P<kind>)",
        rf"</(?:longcat_)?arg_value{_SUFFIX}>",
        rf"(?=</(?:longcat_)?tool_call{_SUFFIX}>)",
    ),
    _tags(
        "kimi_k3",
        rf"<{_BARS}open{_BARS}>call tool ?= ?\"(?P<name>[^\"\n<>]{{1,160}})\"[^<>\n]{{0,80}}"
        rf"<{_BARS}sep{_BARS}>",
        rf"<{_BARS}open{_BARS}>argument key ?= ?\"(?P<key>[^\"\n<>]{{1,160}})\""
        rf"(?: type ?= ?\"(?P<kind>\w{{1,20}})\")?[^<>\n]{{0,40}}<{_BARS}sep{_BARS}>",
        rf"<{_BARS}close{_BARS}>argument<{_BARS}sep{_BARS}>",
        rf"<{_BARS}close{_BARS}>call<{_BARS}sep{_BARS}>",
    ),
)

_SPACE: Final = re.compile(r"\s*")
_LONGEST_LINE: Final = 4_000
_ONE_WORD: Final = re.compile(r"[^\s<]{1,1000}")
_BEHIND_CALL: Final = re.compile(rf"[ \t]+|{FILLING.pattern}", re.IGNORECASE)
_BREAK_BEFORE: Final = re.compile(r"\r?\n")
_BREAK_BEHIND: Final = re.compile(r"\r?\n\Z")
_CDATA: Final = re.compile(r"\s*<!\[CDATA\[(.*)\]\]>\s*\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TaggedCall:
    """A call read from tags, and the index behind it.

    ``complete`` says that every argument was closed and the call was ended by something,
    ``closed`` that its own end tag stood there.
    """

    call: RawCall
    dialect: str
    end: int
    complete: bool
    closed: bool = False


# Seed-OSS shares Qwen3-Coder's tags, but its template does not pad the values.
_SEED_OSS: Final = replace(FAMILIES[0], dialect="seed_oss", padding="none")


def read_tagged(text: str, start: int, section: str = "") -> TaggedCall | None:
    """Read the tagged call at ``start``; None when no family's head stands there.

    ``section`` is the dialect whose marker was opened before.
    """
    for tags in (_SEED_OSS,) if section == _SEED_OSS.dialect else FAMILIES:
        head = tags.head.match(text, start)
        if head is not None:
            return _Reader(text, tags, head).read()
    return None


_OLDER_HEAD: Final = re.compile(
    rf"<{_PREFIX}invoke>\s{{0,64}}<tool_name>\s{{0,16}}(?P<name>[\w.\-]{{1,160}})\s{{0,16}}</tool_name>"
    r"\s{0,64}(?:<parameters>\s{0,64})?",
    re.IGNORECASE,
)
_OLDER_VALUE: Final = re.compile(
    r"<(?P<key>[A-Za-z_][\w.\-]{0,120})>(?P<value>(?:[^<]|<(?!/?(?P=key)>))*)</(?P=key)>\s{0,64}"
)
_OLDER_END: Final = re.compile(rf"(?:</parameters>\s{{0,64}})?</{_PREFIX}invoke>", re.IGNORECASE)


def read_older(text: str, start: int) -> TaggedCall | None:
    """Read a call of Anthropic's first text form: every argument is a tag of its own name."""
    head = _OLDER_HEAD.match(text, start)
    if head is None:
        return None
    values: dict[str, Any] = {}
    position = head.end()
    while value := _OLDER_VALUE.match(text, position):
        if value["key"] in values:
            break
        values[value["key"]] = Untyped(value["value"])
        position = value.end()
    end = _OLDER_END.match(text, position)
    if end is None:
        rule = "cut_off" if position >= len(text) else "syntax"
        call = RawCall(head["name"], flaw=Flaw(rule, "the arguments are not closed as they should"))
        return TaggedCall(call, "anthropic_xml", position, False)
    call = RawCall(head["name"], values, untyped=True)
    return TaggedCall(call, "anthropic_xml", end.end(), True, closed=True)


class _Reader:
    def __init__(self, text: str, tags: Tags, head: re.Match[str]) -> None:
        self._text = text
        self._tags = tags
        self._head = head
        name, _, stray = head["name"].strip().partition("<")
        self._name: str = name
        self._repairs: list[Repair] = []
        if stray:
            self._repairs.append(Repair("leaked_token", "$", head["name"], self._name, "lossless"))
        self._values: dict[str, Any] = {}
        # Per pattern the next match that was found, None once there is none any more.
        self._ahead: dict[re.Pattern[str], re.Match[str] | None] = {}

    def read(self) -> TaggedCall:
        position = self._head.end()
        if self._head.groupdict().get("empty"):
            return self._done(position, True, closed=True)
        while True:
            position = self._behind_spaces(position)
            if key := self._tags.key.match(self._text, position):
                found = self._value(key.end())
                if found is None:
                    message = f"the argument {_key(key)!r} has no end"
                    return self._broken("cut_off", message, len(self._text))
                value, position = found
                flaw = self._keep(_key(key), value, key.groupdict().get("kind"))
                if flaw:
                    return self._broken("duplicate_key", flaw, position)
            elif end := self._tags.end.match(self._text, position):
                return self._done(end.end(), True, closed=end.end() > end.start())
            elif stray := self._tags.value_end.match(self._text, position):
                if any(repair.rule == "missing_tag" for repair in self._repairs):
                    message = "the closing tags leave more than one reading"
                    return self._broken("ambiguous", message, position)
                position = stray.end()
            elif position >= len(self._text):
                return self._done(position, False)
            elif CLOSING.match(self._text, position):
                return self._done(position, True)
            elif self._text.startswith("{", position) and not self._values:
                return self._json_body(position)
            else:
                return self._broken("syntax", "between two arguments stands other text", position)

    def _done(self, end: int, complete: bool, closed: bool = False) -> TaggedCall:
        call = RawCall(self._name, self._values, tuple(self._repairs), untyped=True)
        return TaggedCall(call, self._tags.dialect, end, complete, closed)

    def _broken(self, rule: str, message: str, end: int) -> TaggedCall:
        call = RawCall(self._name, flaw=Flaw(rule, message))
        return TaggedCall(call, self._tags.dialect, end, False)

    def _json_body(self, position: int) -> TaggedCall:
        """All arguments as one JSON object, as Functionary and Llama 3.1 write them."""
        reading = read_value(self._text, position)
        if isinstance(reading, Fault):
            return self._broken(reading.rule, reading.message, reading.end)
        end = self._tags.end.match(self._text, self._behind_spaces(reading.end))
        repairs = (*self._repairs, *reading.repairs)
        call = RawCall(self._name, reading.value, repairs)
        complete = reading.missing_closers == 0
        stop = end.end() if end else reading.end
        return TaggedCall(call, "functionary_v31", stop, complete, bool(end))

    # --- one value ----------------------------------------------------------------------

    def _value(self, begin: int) -> tuple[str, int] | None:
        """The raw text of the value that begins here and the index behind its closing tag.

        Where the value itself holds an argument's tag, the next closing tag is that one's.
        """
        position, nested = begin, 0
        while (match := self._stop(position)) is not None:
            if match.re is self._tags.value_end:
                if nested:
                    nested -= 1
                elif self._goes_on(match.end()):
                    return self._text[begin : match.start()], match.end()
            elif match.re is self._tags.end and not self._ends(match.end()):
                pass  # it is part of the value
            elif not nested and self._left_open(begin, match):
                self._repairs.append(Repair("missing_tag", "$", None, "closing tag", "inferred"))
                return self._text[begin : match.start()].removesuffix("\n"), match.start()
            elif match.re is self._tags.key:
                nested += 1
            position = max(match.end(), position + 1)
        return None

    def _left_open(self, begin: int, match: re.Match[str]) -> bool:
        """Whether the tag behind a value stands where the value's closing tag belongs.

        A value of one line may end so: before the end of the call, or before the next argument
        that begins a line or follows a single word.  Anything else may hold that tag.
        """
        if match.start() - begin > _LONGEST_LINE:
            return False
        written = self._text[begin : match.start()]
        value = written.strip("\r\n")
        if not value.strip() or "\n" in value:
            return False
        ended = match.re is self._tags.end or written.endswith("\n")
        return ended or _ONE_WORD.fullmatch(value) is not None

    def _stop(self, position: int) -> re.Match[str] | None:
        """The next tag that may end a value: its own, the next argument's, or the call's."""
        patterns = (self._tags.value_end, self._tags.key, self._tags.end)
        found = [match for p in patterns if (match := self._next(p, position))]
        return min(found, key=lambda match: match.start(), default=None)

    def _next(self, pattern: re.Pattern[str], position: int) -> re.Match[str] | None:
        """The next match; what was found once is kept, so that no text is searched twice."""
        known = self._ahead.get(pattern)
        if pattern not in self._ahead or (known is not None and known.start() < position):
            known = self._ahead[pattern] = pattern.search(self._text, position)
        return known

    def _ends(self, position: int) -> bool:
        """Whether behind a call's end nothing stands but other tokens and further calls."""
        while token := _BEHIND_CALL.match(self._text, position):
            position = token.end()
        if any(p.match(self._text, position) for p in (self._tags.value_end, self._tags.key)):
            return False
        return position >= len(self._text) or self._text.startswith(("\n", "<"), position)

    def _goes_on(self, position: int) -> bool:
        """Whether behind a closing tag the call goes on or ends."""
        after = self._behind_spaces(position)
        tags = self._tags
        patterns = (tags.key, tags.end, tags.value_end, CLOSING)
        return after >= len(self._text) or any(p.match(self._text, after) for p in patterns)

    def _keep(self, key: str, text: str, kind: str | None) -> str | None:
        cdata = _CDATA.match(text) if self._tags.cdata else None
        value = Untyped(cdata[1] if cdata else _unpadded(text, self._tags.padding), _kind(kind))
        if key in self._values and self._values[key] != value:
            return f"the argument {key!r} is given twice"
        if key in self._values:
            note = Repair("duplicate_key", child_path("$", key), str(value), None, "lossless")
            self._repairs.append(note)
        self._values[key] = value
        return None

    def _behind_spaces(self, position: int) -> int:
        match = _SPACE.match(self._text, position)
        return match.end() if match else position


def _key(match: re.Match[str]) -> str:
    return match["key"].strip()


def _kind(word: str | None) -> Literal["text", "json"] | None:
    if not word:
        return None
    return "text" if word.lower() in ("true", "string") else "json"


def _unpadded(text: str, padding: Padding) -> str:
    before, behind = _BREAK_BEFORE.match(text), _BREAK_BEHIND.search(text, max(0, len(text) - 2))
    if padding == "none" or (padding == "both" and not (before and behind)):
        return text
    begin = before.end() if before else 0
    end = behind.start() if behind else len(text)
    return text[begin:end] if begin <= end else ""
