"""Texts that make naive readers slow or break them, at any length."""

from __future__ import annotations

from typing import Final

_CALL: Final = '{"name": "shell", "arguments": {"command": "ls -la"}}'

_REPEATED: Final = {
    # JSON, whole and broken
    "open braces": "{",
    "open brackets": "[",
    "nested objects": '{"name":',
    "nested envelopes": '{"name":"shell","arguments":',
    "open strings": '{"name": "',
    "quotes": '"',
    "backslashes": "\\",
    "escaped braces": '{\\"name\\":',
    "broken calls": '{"name": "shell", "arguments": {"command": "ls} ',
    "single-quoted": "{'name': 'shell', 'arguments': {'command': 'a'b'}} ",
    "triple quotes": '{"name": "shell", "arguments": {"command": """a',
    "good calls": _CALL + "\n",
    "calls in a row": _CALL + ", ",
    "almost keys": '{"nam": ',
    "commas": '{"name": "shell", "arguments": [,,,',
    "comments": "{/*",
    "spaces behind a brace": "{" + " " * 60,
    "long numbers": '{"name": "shell", "arguments": {"command": ' + "9" * 500,
    "string lists": "['shell(command=1)', ",
    "foreign words": '{"name": "shell", "arguments": {"command": 扢扢扢扢扢扢扢扢扢扢\x00',
    # Python
    "python lists": "[shell(",
    "python arguments": "[shell(command=\t",
    "python lines": "shell(command='ls'\n",
    "python nesting": "shell(command=[(",
    "mixed lists": '[("shell", {"command": "ls"}), ',
    # markers
    "hermes openers": "<tool_call>",
    "escaped in prose": 'starts with {\\"name\\": \\"shell\\", \\"arguments\\": {}} and <',
    "escaped behind markers": ' with functools[{\\"name',
    "hermes pairs": "<tool_call></tool_call>",
    "hermes with junk": "<tool_call>{x",
    "hermes, open strings": '<tool_call>{"name": "shell", "arguments": {"a": "x</tool_call>',
    "mistral openers": "[TOOL_CALLS]",
    "mistral names": "[TOOL_CALLS]shell[ARGS]{",
    "mistral junk": "[TOOL_CALLS] junk ",
    "kimi heads": "<|tool_call_begin|>functions.shell:0<|tool_call_argument_begin|>{",
    "kimi names": "functions.shell:1 ",
    "deepseek heads": "<｜tool▁call▁begin｜>function<｜tool▁sep｜>shell",
    "dsml heads": '<｜DSML｜invoke name="shell">',
    "harmony channels": "<|channel|>",
    "harmony starts": "<|start|>assistant",
    "harmony headers": "<|channel|>commentary to=functions.shell <|message|>{",
    "harmony messages": '<|channel|>x to=functions.shell<|message|>{"command":"x"}<|call|>',
    "bars": "<||||||",
    "half tokens": "<|",
    "leaked prefixes": "<|im_end|>]<]minimax[>[",
    # tags
    "qwen heads": "<function=shell><parameter=command>",
    "qwen parameters": "<parameter=command>",
    "anthropic calls": '<invoke name="shell"><parameter name="command">x</parameter>',
    "anthropic heads": '<invoke name="shell">',
    "glm keys": "<tool_call>shell<arg_key>command</arg_key><arg_value>x",
    "glm pairs": "<arg_key>a</arg_key><arg_value>b</arg_value>",
    "minimax tags": "]<]minimax[>[<a>",
    "minimax invokes": ']<]minimax[>[<invoke name="shell">',
    "gemma braces": "<|tool_call>call:shell{a:{",
    "gemma strings": '<|tool_call>call:shell{command:<|"|>',
    "kimi k3 heads": '<|open|>call tool="shell"<|sep|>',
    "open tags": "<a1>",
    # heads in words
    "functools": "functools[{",
    "calling tool": "[Calling tool: shell(",
    "recipients": ">>>shell\n{",
    "braces before recipients": "{>>>shell\n",
    "qwen agent": "✿FUNCTION✿: shell\n✿ARGS✿: {",
    "react": "Action: shell\nAction Input: x\n",
    "fenced heads": "```py\ncall:",
    "indented actions": " Action:\n",
    "indented inputs": ' Action: x\nAction Input: {"a": 1}\n',
    "react lists": "Action: ```json\n[",
    "tool lines": "@shell(a): {\n",
    "name lines": "shell\n\n",
    # reasoning, fences, white space
    "think openers": "<think>",
    "end and head in one line": "</thinking>[Calling tool:\u2028/",
    "end and head": "</scratch_pad>>>>shell\n{",
    "bars and sections": "<||||||[Calling tool:<TOOLCALL>",
    "line heads and ends": "to=functions.shell:\n{</think>",
    "tags and heads": "<function name=[Calling tool:",
    "think pairs": "<think></think>",
    "think with calls": "<think><tool_call>{",
    "orphan ends": "x</think>",
    "fences": "```json\n",
    "fence lines": "```\n",
    "fenced markers": "\n```json\n<tool_call>",
    "ticks": "`[shell(",
    "white space": " \n",
    "words": "a ",
    "announcements": "I will use the shell tool. ",
    "here-documents": "<<EOF\n" + _CALL + "\n",
}
# What stands before the repeated part, that part, and what stands behind it.
_FRAMED: Final = {
    "fenced lines": ("```python\n", "shell(command='ls')\n", "```"),
    "fenced objects": ("```json\n", f"{_CALL}\n", "```"),
    "a list of calls": ("[", "shell(command='ls'), ", "]"),
    "a list of objects": ("[", f"{_CALL}, ", f"{_CALL}]"),
    "a section of calls": ("<tool_call>[", f"{_CALL}, ", f"{_CALL}]</tool_call>"),
    "an envelope of calls": ('{"tool_calls": [', f"{_CALL}, ", f"{_CALL}]}}"),
    "a keyed list": ("<|tools_prefix|>[", '{"shell": {"command": "ls"}}, ', "]<|tools_suffix|>"),
    "a long string": ('{"name": "shell", "arguments": {"command": "', 'x = \\"y\\"\\n', '"}}'),
    "line breaks in a string": ('{"name": "shell", "arguments": {"command": "', "x = y\n", '"}}'),
    "quotes in a string": ('{"name": "shell", "arguments": {"command": "', 'x = "y"\n', '"}}'),
    "single quotes in a string": ("{'name': 'shell', 'arguments': {'command': '", "isn't\n", "'}}"),
    "closing tags in a value": ("<function=shell><parameter=command>", "x</parameter>y\n", ""),
    "call ends in a value": ("<function=shell><parameter=command>", "x</function>y\n", ""),
    "keys in a value": ("<function=shell><parameter=command>", "\n<parameter=x>y\n", ""),
    "many parameters": ("<function=shell>", "<parameter=command>y\n</parameter>", "</function>"),
    "nested arguments": ("[shell(command=", "[1, ", "]"),
    "reasoning that never ends": ("<think>", f"<tool_call>{_CALL}</tool_call>", ""),
    "orphan reasoning": ("", f"<tool_call>{_CALL}</tool_call>", "</think>done"),
    "prose before a call": ("", "I will look. ", f"\n\n<tool_call>{_CALL}</tool_call>"),
    "tags before a call": ("", "<div class='a'>", f"<tool_call>{_CALL}</tool_call>"),
    "tokens behind a call": (f"<tool_call>{_CALL}</tool_call>", "<|im_end|>", ""),
    "calls and prose": ("", f"{_CALL}\n\nand then:\n\n", ""),
    "results": ("", f"Action: shell\nAction Input: {_CALL}\nObservation: ok\n", ""),
}

# What gptme's own text formats are made of, behind a text that opens both.
HOST_OPENING: Final = "```shell\n<tool-use><shell>"
HOST_PIECES: Final = (
    "```shell\n", "```\n", "\n", "`", "```shell\ncat <<E\n", "``````a\n", "</think>", "<<<",
    "<tool-use><shell>", "<tool-use><shell a='", "<tool-use><shell></shell>", "</shell>", "'",
    "<tool-use><shell/>", "&#1;", "$((", "<tool-use>" + " " * 200,
)  # fmt: skip

HOSTILE: Final = {**{name: ("", unit, "") for name, unit in _REPEATED.items()}, **_FRAMED}


def hostile_text(name: str, size: int) -> str:
    """The pattern of this name at about this length."""
    before, unit, behind = HOSTILE[name]
    repeated = (unit * (size // len(unit) + 1))[:size] if not behind else unit * (size // len(unit))
    return before + repeated + behind
