"""Answers whose last words announce a step and name no tool: "Let me check the directory first."

The words must be the writer's own, said of now, without a condition, of something that tools
do to something that tools touch, and nothing may follow them.  What is left over is an answer:
a step that is missed costs nothing new, a question about an answer costs a request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gptme_reliability import step_words as words

_TAIL: Final = 1200
_SHORT: Final = 160
_MOST_ITEMS: Final = 12

_SENTENCES: Final = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？；])|\n+")
_QUOTED: Final = re.compile(r"\W*[>\"“「『`]")
_CODE: Final = re.compile(r"`[^`\n]{1,200}`")
_PLACE: Final = re.compile(
    r"https?://\S{1,300}|(?<![\w/.~-])[~/\w-][\w/~-]{0,80}(?:\.[\w/~-]{1,40}){0,4}"
    r"\.(?:py|js|ts|txt|md|toml|json|jsonl|csv|log|ya?ml|cfg|ini|sh|html|css|c|h|cpp|rs|go|java|sql|"
    r"xml|lock|env|pdf|ipynb)\b",
    re.IGNORECASE,
)
# What every place holds, and prose hardly ever.
_DOTTED: Final = re.compile(r"\.\S|://")
_EMPHASIS: Final = re.compile(r"\*{2,3}|__|^#{1,6} ", re.MULTILINE)
# A clause begins here: at the start of a sentence, or behind one of these.
_CLAUSE_ZH: Final = re.compile(
    r"(?:\A|[，,；：:。！…—]|所以|因此|那|那么|然后|接下来|现在|首先|下面)\W*\Z"
)
# Who asks for a text gets one, whatever is announced in it.
_ASKS_FOR_A_TEXT: Final = re.compile(
    r"\b(?:translat\w*|(?:in|into|put into) (?:english|chinese|german|french|spanish)|story|poem|"
    r"play (?:a|the|an)\b|role-?play|pretend|you are an? |a game|talk like|sentence|slogan|"
    r"dialogue|essay|e?mail|letter|message|say in|what did (?!i\b|we\b)|future forms?|mean|"
    r"first line|what do you do|what are you doing|"
    r"(?:your|the) (?:plan|steps|approach)|how would you|explain|outline|intend)\b|"
    r"翻译|故事|写(?:一)?(?:首|封|篇|个句子)|造句|扮演|说了什么|打算|先说说|解释|计划",
    re.IGNORECASE,
)


def announces(body: str, messages: Sequence[Mapping[str, Any]] = ()) -> bool:
    """Whether an answer, its reasoning taken off, ends with the announcement of a step."""
    after_result = _is_after_result(messages)
    if not body or body.endswith("```") or (not after_result and _asked_for_a_text(messages)):
        return False
    tail = _plain(body[-_TAIL:])
    if _is_plan(tail):
        return True
    sentences = [s.strip() for s in _SENTENCES.split(tail) if s.strip()]
    if words.BEGIN.fullmatch(sentences[-1] if sentences else "") and words.PLAN.search(tail):
        return True
    for position in range(len(sentences) - 1, -1, -1):
        last = sentences[position]
        if _QUOTED.match(last):
            return False
        if (
            _says(last, after_result)
            or _goes_on(last, alone=position == 0, after_result=after_result)
            or _says_in_chinese(last, after_result)
        ):
            return True
        if not words.WAIT.fullmatch(last):
            return False
    return False


def _is_after_result(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a tool answered last: as such, or as the system behind the model's own words."""
    roles = [message.get("role") for message in messages[-2:]]
    return roles[-1:] in (["tool"], ["function"]) or roles == ["assistant", "system"]


def _asked_for_a_text(messages: Sequence[Mapping[str, Any]]) -> bool:
    last = next((m for m in reversed(messages) if m.get("role") == "user"), None)
    content = last.get("content") if last else None
    return isinstance(content, str) and _ASKS_FOR_A_TEXT.search(content[:4000]) is not None


def _plain(text: str) -> str:
    text = _EMPHASIS.sub("", text.replace("’", "'"))
    text = _CODE.sub("CODE", text)
    return _PLACE.sub("CODE", text) if _DOTTED.search(text) else text


def _is_plan(tail: str) -> bool:
    """Whether the last words are a list of actions that the writer says will be done now."""
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    items = 0
    while items < min(len(lines) - 1, _MOST_ITEMS):
        item = words.ITEM.match(lines[-1 - items])
        if item is None or not _is_action(item["text"]):
            break
        items += 1
    if not items:
        return False
    head = lines[-1 - items]
    return bool(words.PLAN_HEAD.search(head) or words.PLAN_HEAD_ZH.search(head))


def _is_action(item: str) -> bool:
    return bool(words.BASE_VERB.match(item) or words.ACTION_ZH.match(item))


def _says(sentence: str, after_result: bool) -> bool:
    """ "I'll read the file", "so let's run the tests"."""
    if (again := words.RETRY.search(sentence)) and _stands_alone(sentence, again):
        return True
    for opener in (words.FIRM, words.LETS, words.DUTY):
        for match in opener.finditer(sentence):
            if opener is words.DUTY and not _is_due(sentence, match, after_result):
                continue
            touches = _touches(match["verb"], sentence[match.end() :], firm=opener is words.FIRM)
            if touches and _stands_alone(sentence, match):
                return True
    return False


def _is_due(sentence: str, match: re.Match[str], after_result: bool) -> bool:
    """Whether a duty is said to be done now, and is the writer's own."""
    its_own = not match[0].lower().startswith("we")
    return bool(words.AT_ONCE.search(sentence)) or (after_result and its_own)


def _stands_alone(sentence: str, match: re.Match[str]) -> bool:
    """Whether neither what stands before the words nor what follows makes them something else."""
    lead = sentence[: match.start()]
    return (
        words.LEAD.fullmatch(lead) is not None
        and not words.LEAD_VETO.search(lead)
        and not _is_vetoed(sentence[match.start() :])
    )


def _touches(verb: str, rest: str, *, firm: bool) -> bool:
    """Whether the action is done to something that tools touch."""
    if words.THING.match(rest):
        return True
    return firm and bool(
        verb.lower() in words.LOOKUPS
        or (verb.lower() not in words.PALE and words.PRONOUN.match(rest))
        or words.WHOLE_STEP.fullmatch(verb + rest)
    )


def _goes_on(sentence: str, *, alone: bool, after_result: bool) -> bool:
    """ "Now listing the files…", "I'm checking the log now", "Will check the logs"."""
    sentence = words.AFFIRMED.sub("", sentence, count=1)
    bare = words.SUBJECTLESS.match(sentence) if alone else None
    match = words.GOING_ON.search(sentence)
    gerund = words.GERUND.match(sentence)
    if not (bare or match or gerund) or _is_vetoed(sentence):
        return False
    if bare:
        return _touches(bare["verb"], sentence[bare.end() :], firm=False)
    if words.FINITE.search(words.HARMLESS.sub(" ", sentence)):
        return False
    if match and words.LEAD.fullmatch(sentence[: match.start()]):
        now = words.AT_THIS_MOMENT.search(sentence) or match["verb"].lower() in words.LOOKUPS
        return bool(now) and _touches(match["verb"], sentence[match.end() :], firm=True)
    if gerund is None or len(sentence) > _SHORT or not words.UNFINISHED.search(sentence):
        return False
    # Behind a result the thing is known; elsewhere it must be one that tools touch.
    return _touches(gerund["verb"], sentence[gerund.end() :], firm=after_result)


def _says_in_chinese(sentence: str, after_result: bool) -> bool:
    if sentence.isascii():
        return False
    plain = words.HARMLESS_ZH.sub("", sentence)
    for pattern in (words.FIRST_PERSON_ZH, words.GOING_ON_ZH, words.NEXT_ZH):
        for match in pattern.finditer(plain):
            # Without a subject it may as well be advice, but not to a tool's result.
            if pattern is words.NEXT_ZH and (not after_result or words.ADVICE_ZH.search(plain)):
                continue
            lead = plain[: match.start()]
            if not _CLAUSE_ZH.search(lead) or words.LEAD_VETO_ZH.search(lead):
                continue
            if not words.VETO_ZH.search(plain[match.start() :]):
                return True
    return False


def _is_vetoed(announcement: str) -> bool:
    return words.VETO.search(words.HARMLESS.sub(" ", announcement)) is not None
