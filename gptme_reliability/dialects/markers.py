"""The tokens that mark calls, of all families, as rows of data.

Models misspell these tokens in known ways: ASCII bars for full-width ones, doubled bars,
spaces and underscores for the tokenizer's ``▁``, a suffix on every tag.  ``normal`` folds all
of that, so that a row stands for every spelling.  Sources: the chat templates and tool
parsers of the named families, as published with the models.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

Role: TypeAlias = Literal["open", "head", "part", "close"]
"""``open`` begins a call or a list of calls, ``head`` is the beginning of a call that names its
tool at once, ``part`` stands between, ``close`` ends a call or a list."""


@dataclass(frozen=True, slots=True)
class Marker:
    """One token: the dialect it belongs to and what it does there."""

    token: str
    dialect: str
    role: Role = "open"


def _rows(dialect: str, opening: str, closing: str, parts: str = "") -> list[Marker]:
    """Tokens of one family, separated by spaces."""
    return [
        *(Marker(token, dialect) for token in opening.split()),
        *(Marker(token, dialect, "close") for token in closing.split()),
        *(Marker(token, dialect, "part") for token in parts.split()),
    ]


def _heads(dialect: str, *tokens: str) -> list[Marker]:
    return [Marker(token, dialect, "head") for token in tokens]


_NAMESPACE: Final = "antml:"

# A token that several families share stands with the family that is known for it; the shape
# of what follows tells the rest apart.
MARKERS: Final = (
    *_rows("hermes", "<tool_call>", "</tool_call>"),
    *_rows("hermes", "<tool_calls>", "</tool_calls>"),
    *_rows("granite_20b_fc", "<function_call>", "</function_call>"),
    *_rows("granite", "<|tool_call|>", "<|/tool_call|>"),
    *_rows("nemotron", "<TOOLCALL>", "</TOOLCALL>"),
    *_rows("longcat", "<longcat_tool_call>", "</longcat_tool_call>"),
    *_rows("lfm2", "<|tool_call_start|>", "<|tool_call_end|>"),
    *_rows("llama4_pythonic", "<|python_start|>", "<|python_end|>"),
    *_rows("mistral", "[TOOL_CALLS]", "[/TOOL_CALLS]"),
    *_rows("llama3_json", "<|python_tag|>", "<|eom_id|>"),
    *_rows("deepseek_v3", "<｜tool▁calls▁begin｜> <｜tool▁call▁begin｜>", "<｜tool▁calls▁end｜>"),
    *_rows("kimi_k2", "<|tool_calls_section_begin|> <|tool_call_section_begin|>", ""),
    *_rows("kimi_k2", "", "<|tool_calls_section_end|> <|tool_call_section_end|>"),
    *_rows("internlm2", "<|action_start|>", "<|action_end|>", "<|plugin|>"),
    *_rows("apertus", "<|tools_prefix|>", "<|tools_suffix|>"),
    *_rows("command_r7b", "<|START_ACTION|>", "<|END_ACTION|>"),
    *_rows("gigachat3", "<|function_call|>", ""),
    *_rows("sarashina", "<|tool_calls|>", "<|calls|>"),
    *_rows("solar_open", "<|tool_call:begin|>", "<|tool_call:end|>"),
    *_rows("inkling", "<|content_invoke_tool_json|>", "<|end_message|>"),
    *_rows("seed_oss", "<seed:tool_call>", "</seed:tool_call>"),
    *_rows("minimax_m2", "<minimax:tool_call>", "</minimax:tool_call>"),
    *_rows("anthropic_xml", "<function_calls>", "</function_calls>"),
    *_rows("muse_glimmer", "<atem:function_calls>", "</atem:function_calls>"),
    *_rows("deepseek_dsml", "<｜DSML｜function_calls>", "</｜DSML｜function_calls>"),
    *_rows("deepseek_dsml", "<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>"),
    *_rows("functiongemma", "<start_function_call>", "<end_function_call>"),
    *_rows("gemma4", "<|tool_call>", "<tool_call|>"),
    *_rows("kimi_k3", "<|open|>tools<|sep|>", "<|close|>tools<|sep|> <|close|>call<|sep|>"),
    *_rows("kimi_k3", "", "<|close|>message<|sep|> <|end_of_msg|>"),
    *_rows("harmony", "", "<|call|> <|eot|> <|eom|>"),
    *_rows("functionary_v2", "", "<|stop|>"),
    *_rows("qwen_agent_fn", "", "✿RESULT✿: ✿RESULT✿"),
    *_heads("qwen3_coder", "<function="),
    *_heads("minicpm5", "<function name=", "<functionname="),
    *_heads("anthropic_xml", "<invoke name=", f"<{_NAMESPACE}invoke name=", "<invoke><tool_name>"),
    *_rows("anthropic_xml", f"<{_NAMESPACE}function_calls>", f"</{_NAMESPACE}function_calls>"),
    *_heads("minimax_m2", "<minimax:invoke name="),
    *_heads("muse_glimmer", "<atem:invoke name="),
    *_heads("step3", "<steptml:invoke name="),
    *_heads("deepseek_dsml", "<｜DSML｜invoke name="),
    *_heads("kimi_k3", "<|open|>call tool="),
    *_heads("minimax_m3", "]<]minimax[>["),
    *_heads("phi4", "functools["),
    *_heads("calling_tool_bracket", "[Calling tool:"),
    *_heads("qwen_agent_fn", "✿FUNCTION✿:"),
    *_heads("functionary_v32", ">>>"),
    *_heads("functionary_v2", "<|recipient|>", "<|from|>assistant"),
    *_heads("harmony", "<|channel|>", "<|start|>"),
    *_heads("gigachat3", "<|message_sep|>", "function call<|role_sep|>"),
    *_heads("inkling", "<|message_model|>"),
    *_rows("poolside", "", "</user>"),
    *_heads("poolside", "<user>"),
    *_heads("solar_open", "<|tool_call:name|>"),
)

_FOLDS: Final = (
    (re.compile(r"[｜‖]"), "|"),
    (re.compile(r"\|{2,}"), "|"),
    (re.compile(r":opensource"), ""),
    (re.compile(r"[▁ \-]"), "_"),
    (re.compile(r"\|_+"), "|"),
    (re.compile(r"_+\|"), "|"),
)


@lru_cache(maxsize=1024)
def normal(token: str) -> str:
    """The one spelling that stands for all spellings of a token."""
    token = token.lower()
    for pattern, plain in _FOLDS:
        token = pattern.sub(plain, token)
    return token


BY_TOKEN: Final = {normal(marker.token): marker for marker in MARKERS}
_NORMAL_OPENERS: Final = tuple(
    token for token, marker in BY_TOKEN.items() if marker.role in ("open", "head")
)
_BEGINNINGS: Final = frozenset(
    token[:end] for token in _NORMAL_OPENERS for end in range(len(token) + 1)
)
FIRST_CHARS: Final = frozenset(
    char for token in _NORMAL_OPENERS for char in (token[0], token[0].upper())
)
"""What an opening token may begin with."""


def _spellings(token: str, first: str) -> str:
    """The pattern of every spelling of a token, without its first character."""
    pieces: list[str] = []
    for char, before in zip(token, first + token, strict=False):
        if char in "|｜":
            pieces.append(r"[|｜‖]{1,2} ?" if before in "</" else r" ?[|｜‖]{1,2} ?")
        elif char in "_▁ ":
            pieces.append("[_▁ ]")
        elif char == ">" and before not in "|｜":
            pieces.append("(?::opensource)?>")
        else:
            pieces.append(re.escape(char))
    return "".join(pieces)


def _pattern(*roles: Role) -> str:
    """The pattern of all tokens with these roles, sorted by their first characters for speed."""
    tokens = sorted({m.token for m in MARKERS if m.role in roles}, key=len, reverse=True)
    by_first: dict[str, list[str]] = {}
    for token in tokens:
        by_first.setdefault(token[0], []).append(_spellings(token[1:], first=token[0]))
    return "|".join(
        f"{re.escape(first)}(?:{'|'.join(dict.fromkeys(rest))})" for first, rest in by_first.items()
    )


OPENING: Final = _pattern("open", "head")
"""A pattern source: any token that may begin a call."""
CLOSING: Final = re.compile(_pattern("close"), re.IGNORECASE)
FILLING: Final = re.compile(
    rf"(?P<open>{_pattern('open')})|(?P<close>{_pattern('close')})|(?P<part>{_pattern('part')})",
    re.IGNORECASE,
)
"""Tokens between and around calls."""
LONGEST: Final = max(len(marker.token) for marker in MARKERS) + 24


_SUFFIX_BEGUN: Final = re.compile(
    r":(?:o(?:p(?:e(?:n(?:s(?:o(?:u(?:r(?:ce?)?)?)?)?)?)?)?)?)?\Z", re.IGNORECASE
)


def may_become_opener(tail: str) -> bool:
    """Whether ``tail`` is the beginning of some spelling of a token that may begin a call."""
    if len(tail) > LONGEST:
        return False
    folded = normal(_SUFFIX_BEGUN.sub("", tail))
    begun = folded.rstrip("_:")
    return folded in _BEGINNINGS or begun in _BEGINNINGS
