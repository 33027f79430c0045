"""Words and tokens around calls, as rows of data: envelope keys, leaked tokens, fences, reasoning.

The tokens that mark calls are in ``markers.py``.  Sources: the chat templates and tool parsers
of the named families, as published with the models.
"""

from __future__ import annotations

from typing import Final

NAME_KEYS: Final = frozenset(
    {"name", "tool", "tool_name", "function", "action", "function_name", "toolname", "func"}
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
    "<|call|>",
    "<|return|>",
    "<|eot|>",
    "<|stop|>",
    "<|START_OF_TURN_TOKEN|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|CHATBOT_TOKEN|>",
    "<turn|>",
    "<|turn>",
    "<end_of_turn>",
    "<start_of_turn>",
    "<|assistant|>",
    "<|user|>",
    "<|observation|>",
    "</assistant>",
    "</answer>",
    "</response>",
    "<｜hy_eos:opensource｜>",
    "<｜end▁of▁sentence｜>",
    "<sep>",
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

# Fences that are made for calls, where others may hold code as well.
FENCES_OF_CALLS: Final = frozenset(
    {"tool", "tools", "tool_call", "tool_calls", "tool_code", "tool_use", "function_call"}
)

# (opening, closing); the opening often stands in the prompt, so that only the closing appears.
REASONING: Final = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<scratch_pad>", "</scratch_pad>"),
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
    ("<think:opensource>", "</think:opensource>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
    ("◁think▷", "◁/think▷"),
    ("<|channel>", "<channel|>"),
    ("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),
    # These endings close other things too: without their opening they end no reasoning.
    ("<|channel|>analysis<|message|>", "<|end|>"),
    ("to=self<|message|>", "<|eom|>"),
    ("<|think|>", "<|end|>"),
    ("<|content_thinking|>", "<|end_message|>"),
    ("Here is my thought process:", "Here is my response:"),
)
_SHARED_ENDS: Final = frozenset({"<|end|>", "<|eom|>", "<|end_message|>", "Here is my response:"})
REASONING_ENDS: Final = tuple(
    dict.fromkeys(closing for _, closing in REASONING if closing not in _SHARED_ENDS)
)
"""Tags that end reasoning even where its opening stood in the prompt."""
