"""The spellings of tool calls, as rows of data.

A row says which marker opens a call and which one closes it; what stands between is read by
a shape (JSON, ``name{json}``, Python calls).  Sources: the chat templates and tool parsers of
the named families, as published with the models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Shape: TypeAlias = Literal["json", "named_json", "python_tag"]


@dataclass(frozen=True, slots=True)
class Wrapper:
    """One family that marks its calls: dialect id, opening and closing markers, what is inside."""

    dialect: str
    opening: str
    closing: tuple[str, ...]
    shape: Shape = "json"


WRAPPERS: Final = (
    # Hermes 2/3, Qwen2.5/Qwen3 and many finetunes; some drop or repeat the closing tag.
    Wrapper("hermes", "<tool_call>", ("</tool_call>",)),
    Wrapper("hermes", "<tool_calls>", ("</tool_calls>",)),
    Wrapper("granite_20b_fc", "<function_call>", ("</function_call>",)),
    Wrapper("granite", "<|tool_call|>", ("<|/tool_call|>",)),
    Wrapper("nemotron", "<TOOLCALL>", ("</TOOLCALL>",)),
    Wrapper("longcat", "<longcat_tool_call>", ("</longcat_tool_call>",)),
    Wrapper("lfm2", "<|tool_call_start|>", ("<|tool_call_end|>",)),
    Wrapper("llama4_pythonic", "<|python_start|>", ("<|python_end|>",)),
    # Mistral before v11 writes an array of objects, from v11 on NAME[ARGS]{…}.
    Wrapper("mistral", "[TOOL_CALLS]", ("[/TOOL_CALLS]", "</s>"), "named_json"),
    # Llama 3.1 and later: JSON, or a Python call of a built-in tool.
    Wrapper("llama3_json", "<|python_tag|>", ("<|eom_id|>", "<|eot_id|>"), "python_tag"),
)

NAME_KEYS: Final = frozenset(
    {"name", "tool", "tool_name", "function", "action", "function_name", "toolname"}
)
ARGUMENT_KEYS: Final = frozenset(
    {
        "arguments",
        "args",
        "parameters",
        "params",
        "input",
        "action_input",
        "tool_input",
        "kwargs",
        "function_arguments",
    }
)
# Keys that may stand beside a name and its arguments without meaning anything to us.
PASSENGER_KEYS: Final = frozenset(
    {"id", "type", "call_id", "tool_call_id", "index", "thought", "thoughts", "reasoning"}
)
LIST_KEYS: Final = frozenset({"tool_calls", "tool_call", "function_call", "calls"})
ENVELOPE_KEYS: Final = NAME_KEYS | ARGUMENT_KEYS | PASSENGER_KEYS | LIST_KEYS

# Misspellings are looked for among these only: short keys have too many neighbours.
FUZZY_KEYS: Final = tuple(sorted(k for k in NAME_KEYS | ARGUMENT_KEYS if len(k) >= 6))

# Tokens of chat templates that leak into the text behind a call and mean nothing there.
LEAKED_TOKENS: Final = (
    "<|im_end|>",
    "<|im_start|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|end|>",
    "</s>",
    "</tool_call>",
    "</tool_calls>",
    "[/TOOL_CALLS]",
    "<|tool_call_end|>",
)

# Fences that may hold nothing but a call; any other language is code or data for a reader.
CALL_FENCES: Final = frozenset(
    {
        "",
        "json",
        "jsonc",
        "json5",
        "python",
        "py",
        "tool",
        "tools",
        "tool_call",
        "tool_calls",
        "tool_code",
        "tool_use",
        "function_call",
        "xml",
        "text",
        "plaintext",
    }
)

# (opening, closing); the opening often stands in the prompt, so that only the closing appears.
REASONING: Final = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<scratch_pad>", "</scratch_pad>"),
)
REASONING_ENDS: Final = tuple(closing for _, closing in REASONING)
