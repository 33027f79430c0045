"""Answers that announce a call in words and make none.

"I will use the shell tool to run ls." ends a turn with nothing done, and so does "Let me check
the directory first.", which names no tool (``steps.py``).  Such words never run;
the model is asked once to make the call.  A question too many costs a request on an answer
that was right, so that everything here errs on the side of taking words for an answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from gptme_reliability import steps
from gptme_reliability.dialects import cues
from gptme_reliability.dialects.table import REASONING_ENDS
from gptme_reliability.types import ToolDefinition, Violation

# What is looked at: the end of an answer, and how long one may be that only gives an order.
_TAIL: Final = 1200
_SHORT: Final = 400
_MOST_NAMES: Final = 512

# "I will", "let me": what follows is about to be done by the one who speaks.
_ANNOUNCE: Final = re.compile(
    r"\b(?:"
    r"(?:i|we)(?: will|['’]ll| am going to| are going to|['’]m going to|['’]re going to)|"
    r"(?:i|we) (?:need to|must|should|have to|want to|now)|"
    r"(?:i am|i['’]m) (?:now )?(?=calling|using|running|invoking|executing)|"
    r"let me|let['’]?s|let us|going to|next step is to"
    r")\b",
    re.IGNORECASE,
)
_ANNOUNCE_ZH: Final = re.compile(
    r"我(?:们)?(?:现在|先|马上|接下来|首先|就)?(?:将|会|来|要|需要|准备|正在|打算)|让我|现在|接下来|正在|首先"
)
# An answer that is nothing but the order for a call.
_ORDER: Final = re.compile(
    r"(?:please\s{1,4}|now\s{1,4}|action:\s{0,4})?"
    r"(?:call|invoke|execute|run|use|calling|invoking|executing|running|using)\b",
    re.IGNORECASE,
)
_ORDER_ZH: Final = re.compile(r"(?:请|现在)?(?:调用|使用|运行|执行)")
_USE: Final = (
    r"(?:call|calling|use|using|invoke|invoking|run|running|execute|executing|query|querying|"
    r"call to|via|through|with|the help of)\s{1,4}(?:(?:a|an|the|my|our)\s{1,4})?"
    r"(?:(?:tool|function|command)\s{1,4}(?:(?:called|named)\s{1,4})?)?"
)
_USE_ZH: Final = (
    r"(?:调用|使用|运行|执行|通过|借助|利用|用)\s{0,4}(?:一下)?(?:工具|函数|命令|名为)?\s{0,4}"
)
_OPENING_QUOTE: Final = r"[`'\"*“‘「『《]"
_NOUN: Final = r"[`'\"*”’」』》]{0,3}(?:\(\))?\s{0,4}(?:tool|function|command|api|工具|函数|命令)"
_GIVEN: Final = r"\s{1,4}(?:with|passing)\b[^\n]{0,200}[:=]"
# Whether a name is a word of ordinary prose, which must be marked as a tool's to count.
_PLAIN_WORD: Final = re.compile(r"[A-Za-z][a-z]*")

# Conditions, offers, questions, refusals, reports and advice are answers.
_VETO: Final = re.compile(
    r"[?？]|\b(?:would|could|might|may|can|if|once|when|whenever|after|before|until|unless|instead|"
    r"rather|without|not|cannot|unable|never|no need|already|previously|earlier|just now|"
    r"was|were|been|used|called|ran|executed|invoked|tried|how to|you|your|yourself|users?|"
    r"be able|know|tell|need(?:ed)? more|provide|confirm|permission|approv\w*|allow|assume|"
    r"suppose|imagine|next time|future|later|tomorrow|in case|always|usually|typically|"
    r"from now on|each time|every time|remember|avoid|refrain|plan|step \d{1,2}|either|or)\b|"
    r"n['’]t\b",
    re.IGNORECASE,
)
_VETO_ZH: Final = re.compile(
    r"吗|呢|是否|要不要|需要我|可以|能够|如果|若|请(?:您|你)?(?:提供|告诉|问|确认|输入|先)|已|(?<!通)过|了|不|无法|无需|"
    r"没有|之后|之前|一旦|以后|例如|比如|建议|您|你|曾|刚才|刚刚|应该|可能|时[，,]|或者?"
)
# These hold a word of the list above and are no conditions.
_HARMLESS: Final = re.compile(
    r"\b(?:check|see|verify|test|determine|find out) (?:if|whether)\b|"
    r"\b(?:tool|function|command) (?:called|named)\b|\bfor you\b|\byour (?:request|question)\b|"
    r"为(?:您|你)|帮(?:您|你)",
    re.IGNORECASE,
)
# What may follow the announcement in a short answer.
_AFTERWARDS: Final = re.compile(
    r"(?:this|it|that) (?:will|should|call|command)\b|(?:one|just a) (?:moment|second)|please wait|"
    r"please hold|hold on|stand by|wait|executing|running|calling|the (?:arguments?|parameters?)|"
    r"请稍|稍等|这将|这会|参数",
    re.IGNORECASE,
)
_ARGUMENT: Final = re.compile(
    r"\s{0,8}[-*•]?\s{0,4}[`'\"*]{0,3}[\w ]{1,40}[`'\"*]{0,3}\s{0,4}[:=：].{0,300}"
)
_END_FENCE: Final = re.compile(r"\n[ \t]{0,3}```[^\n`]{0,40}\n[^`]{0,600}```\s{0,16}\Z")
_SENTENCES: Final = re.compile(r"(?<=[.!?])\s+|(?<=[。！？；])|\n+")
# Who asks what would be done gets words.
_ASKS_FOR_WORDS: Final = re.compile(
    r"\b(?:how (?:will|would|do|can|could|are) you|what (?:will|would|could|are) you|which tools?|"
    r"your (?:plan|approach|next steps?)|(?:make|give me|write|show me) (?:a|the) plan|plan only|"
    r"explain (?:the|your) (?:plan|steps|approach)|"
    r"(?:don['’]t|do not|never) (?:run|do|execute|call)|"
    r"without (?:running|calling|executing))\b|计划|(?:你|您)(?:会|将|打算)?(?:怎么|如何)|哪个工具|"
    r"哪些工具|(?:不要|别)(?:运行|执行|调用)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Announced:
    """What an answer announces: a call of ``tool``, or a step for which it names no tool (None)."""

    tool: str | None = None


def announced(
    text: str, tools: Sequence[ToolDefinition], messages: Sequence[Mapping[str, Any]] = ()
) -> Announced | None:
    """The call or step that ``text`` announces and does not make; None where it is an answer."""
    body = text
    for closing in REASONING_ENDS:
        body = body.rpartition(closing)[2]
    body = body.strip()
    tail = _END_FENCE.sub("", body[-_TAIL:])
    sentences = [s.strip() for s in _SENTENCES.split(tail) if s.strip()]
    if not sentences or _asked_for_words(messages):
        return None
    name = _named(body, sentences, tools)
    if name is not None:
        return Announced(name)
    return Announced() if steps.announces(body, messages) else None


def _named(body: str, sentences: Sequence[str], tools: Sequence[ToolDefinition]) -> str | None:
    """The offered tool that the last sentences say is to be called."""
    uses = _uses(tuple(tool.name for tool in tools[:_MOST_NAMES]))
    for position in range(len(sentences) - 1, -1, -1):
        sentence = sentences[position]
        name = _intended(sentence, uses) or (
            _ordered(sentence, uses) if position == 0 and len(body) <= _SHORT else None
        )
        if name is not None:
            return name
        short = len(body) <= _SHORT and _AFTERWARDS.match(sentence) and not _is_vetoed(sentence)
        if not (short or _ARGUMENT.fullmatch(sentence)):
            return None
    return None


def violation(found: Announced) -> Violation:
    """The violation of an answer that announces this and makes no call."""
    name = found.tool
    if name is None:
        message = "the answer announces a step and makes no call; nothing was run"
    else:
        message = f"the answer says that {name} is to be called and makes no call; nothing was run"
    return Violation("intent", "$", message, tool=name)


def _asked_for_words(messages: Sequence[Mapping[str, Any]]) -> bool:
    last = next((m for m in reversed(messages) if m.get("role") == "user"), None)
    content = last.get("content") if last else None
    return isinstance(content, str) and _ASKS_FOR_WORDS.search(content[:4000]) is not None


@lru_cache(maxsize=64)
def _uses(names: tuple[str, ...]) -> re.Pattern[str]:
    """A verb of use with an offered tool's name behind it."""
    marked = "|".join(re.escape(n) for n in sorted(names, key=len, reverse=True))
    strange = "|".join(re.escape(n) for n in names if not _PLAIN_WORD.fullmatch(n)) or r"(?!)"
    boundary = r"(?![A-Za-z0-9_])"
    return re.compile(
        rf"\b{_USE}(?:{_OPENING_QUOTE}{{1,3}}(?P<quoted>{marked}){boundary}|(?P<strange>{strange})"
        rf"{boundary}|(?P<noun>{marked})(?={_NOUN}|{_GIVEN}))|"
        rf"{_USE_ZH}{_OPENING_QUOTE}{{0,3}}(?P<chinese>{marked}){boundary}",
        re.IGNORECASE,
    )


def _is_vetoed(sentence: str) -> bool:
    plain = _HARMLESS.sub(" ", sentence)
    return bool(_VETO.search(plain) or _VETO_ZH.search(plain) or cues.STRONG.search(plain))


def _intended(sentence: str, uses: re.Pattern[str]) -> str | None:
    begins = _ANNOUNCE.search(sentence) or _ANNOUNCE_ZH.search(sentence)
    if begins is None or _is_vetoed(sentence):
        return None
    # From the last word of the announcement on, which may be the verb of use itself.
    return _name(uses.search(sentence, begins.end()))


def _ordered(sentence: str, uses: re.Pattern[str]) -> str | None:
    if not (_ORDER.match(sentence) or _ORDER_ZH.match(sentence)) or _is_vetoed(sentence):
        return None
    return _name(uses.search(sentence))


def _name(match: re.Match[str] | None) -> str | None:
    if match is None or match.lastgroup is None:
        return None
    return match[match.lastgroup]
