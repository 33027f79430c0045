"""Tools, calls and phrases that the rows of the families are made of: data only."""

from __future__ import annotations

from typing import Any, Final

_SHORT: Final = {"s": "string", "i": "integer", "n": "number", "b": "boolean"}


def _tool(name: str, required: str = "", optional: str = "", **special: Any) -> dict[str, Any]:
    """An OpenAI tool object; ``"path:s lines:i"`` names parameters and the letters of types."""
    properties: dict[str, Any] = {}
    for word in f"{required} {optional}".split():
        key, _, kind = word.partition(":")
        properties[key] = special[key] if key in special else {"type": _SHORT[kind]}
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = [word.partition(":")[0] for word in required.split()]
    schema["additionalProperties"] = False
    return {"type": "function", "function": {"name": name, "parameters": schema}}


_CABINS: Final = {"type": "array", "items": {"type": "string", "enum": ["economy", "business"]}}
_PASSENGERS: Final = {
    "type": "object",
    "properties": {"adults": {"type": "integer"}, "children": {"type": "integer"}},
}
_STOPS: Final = {"type": ["integer", "null"]}
_UNIT: Final = {"type": "string", "enum": ["celsius", "fahrenheit"]}

_ALL: Final = (
    _tool("shell", "command:s", "background:b"),
    _tool("save", "path:s content:s"),
    _tool("read", "path:s", "start_line:i end_line:i"),
    _tool("patch", "path:s patch:s"),
    _tool("ipython", "code:s"),
    _tool("get_weather", "city:s", "unit", unit=_UNIT),
    _tool("set_alarm", "label:s hour:i", "minute:i weekly:b"),
    _tool("find_flights", "origin:s destination:s", "max_price:n stops cabins passengers",
          stops=_STOPS, cabins=_CABINS, passengers=_PASSENGERS),
    _tool("send_parcel", "recipient:s zip:s", "weight:n express:b"),
    _tool("look_up", "query:s", "limit:i"),
    _tool("list_notes"),
    _tool("stop_music"),
)  # fmt: skip
TOOLS: Final = {tool["function"]["name"]: tool for tool in _ALL}

# The last argument of each is a string: what is cut or left open behind it can be told apart.
PLAIN: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("get_weather", {"city": "Oslo"}),
    ("get_weather", {"city": "Reykjavik"}),
    ("look_up", {"query": "tallest lighthouse in Europe"}),
    ("look_up", {"query": "train strike Lyon"}),
    ("shell", {"command": "git status --short"}),
    ("shell", {"command": "wc -l src/main.rs"}),
    ("read", {"path": "docs/setup.md"}),
    ("read", {"path": "pyproject.toml"}),
    ("set_alarm", {"hour": 6, "label": "Bread out of the oven"}),
    ("send_parcel", {"zip": "04109", "recipient": "Anna Lindqvist"}),
    ("patch", {"path": "README.md", "patch": "-old line\n+new line"}),
    ("save", {"path": "notes/todo.txt", "content": "Water the ferns on Friday."}),
)
TYPED: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    (
        "find_flights",
        {
            "origin": "BER",
            "destination": "KEF",
            "max_price": 249.5,
            "stops": None,
            "cabins": ["economy", "business"],
            "passengers": {"adults": 2, "children": 1},
        },
    ),
    ("set_alarm", {"label": "Laundry", "hour": 18, "minute": 45, "weekly": True}),
    ("send_parcel", {"recipient": "J. Ortega", "zip": "00501", "weight": 1.25, "express": False}),
    ("read", {"path": "logs/app.log", "start_line": 0, "end_line": 1200}),
    ("shell", {"command": "sleep 30; date", "background": True}),
    ("find_flights", {"origin": "OSL", "destination": "CPH", "stops": 0, "cabins": []}),
    ("send_parcel", {"recipient": "42", "zip": "1e5", "weight": 7}),
    ("look_up", {"query": "true", "limit": 3}),
)
EMPTY: Final = ("list_notes", "stop_music")
UNICODE: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("look_up", {"query": "Öffnungszeiten Bäckerei Müller — „Sonntag“"}),
    ("get_weather", {"city": "札幌"}),
    ("save", {"path": "gruß.txt", "content": "naïve café 🦊 ≠ кофе"}),
    ("send_parcel", {"recipient": "Þóra Ægisdóttir 🎁", "zip": "101"}),
)
# Values full of what parsers stumble over; none begins or ends with white space.
CODE: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("shell", {"command": "awk '{print $2}' a.csv | sort -u > out.txt && echo \"done\""}),
    ("ipython", {"code": 'rows = {"a": [1, 2]}\nfor k, v in rows.items():\n    print(k, v)'}),
    ("save", {"path": "x.json", "content": '{"open": "{", "list": [1, {"deep": "]}"}]}'}),
    ("save", {"path": "run.py", "content": "if x < 3 and y > 1:\n\treturn f'{x}%'\n# it's \"it\""}),
    ("patch", {"path": "a.md", "patch": "@@ -1 +1 @@\n-```sh\n-ls\n-```\n+Nothing: see (b)."}),
    ("look_up", {"query": 'he said "five, or so", didn\'t he? (a=1, b=[2])'}),
)
# Words and marks of other spellings that must stay what they are: parts of a value.
FOREIGN: Final[tuple[str, ...]] = (
    "First <think>why</think>, then </think> alone, then ``` and {braces}.",
    'The line {"name": "shell", "arguments": {"command": "reboot"}} is data here.',
    "Grep for [TOOL_CALLS] and <|im_end|> in the log, please.",
)
LEADS: Final = (
    "Let me check that for you.",
    "I'll look it up now.",
    "Sure, let me do that right away.",
    "Let me take a look first:",
    "First, I need some information.",
    "Now let me run the next step.",
    "Okay, looking into it.",
    "I'm going to use a tool for that.",
    "Ich sehe kurz nach.",
    "Je vais vérifier cela.",
    "我来查一下。",
)
LEAKED: Final = ("<|im_end|>", "<|eot_id|>", "</s>", "<|endoftext|>")
THOUGHTS: Final = (
    "The user wants a fact that I do not have at hand. A tool can give it.",
    "First the data, then the answer.\nOne call is enough for that.",
)
REASONING: Final = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
)
ANSWERS: Final = (
    "It has been raining in Bergen since Tuesday, so take a coat.",
    "The meeting starts at nine, and nothing else is planned for today.",
)

# Calls that nobody wants to see run because they were quoted.
RISKY: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("shell", {"command": "rm -rf build"}),
    ("shell", {"command": "git push --force"}),
    ("save", {"path": "config.toml", "content": "debug = true"}),
    ("send_parcel", {"recipient": "Example Ltd", "zip": "12345"}),
)
# ``%c`` is the call: each of these shows it and makes none.
EXPLAINED: Final = (
    "For example, %c would start such a task. Nothing needs to be done here.",
    "Models of this kind write, for instance, %c and the host then runs it. I did not.",
    "The notation is easiest to see in an example: %c is how one call looks, in one piece.",
)
DOCUMENTED: Final = (
    "# Tool calls\n\nA call in this format looks like this, for example:\n\n%c\n\n"
    "The name comes first, then the arguments. See also the chapter on errors.",
    "Ein Aufruf sähe zum Beispiel so aus:\n\n%c\n\nIch habe ihn nicht ausgeführt.",
    "Un exemple du format serait :\n\n%c\n\nJe ne l'ai pas lancé.",
)
FENCED: Final = (
    "Here is what a call looks like:\n\n%f\n%c\n%f\n\nThe host reads it and runs the tool.",
    "## Format\n\nAn example of a call, as the documentation shows it:\n\n%f\n%c\n%f\n\n"
    "Replace the values with your own.",
)
INLINE: Final = (
    "The documentation writes a call as `%c`, all in one line.",
    "You asked about the syntax: `%c` is an example, and I have not sent it.",
)
REFUSED: Final = (
    "I can't do that. A call such as %c would destroy your work, so I will not make it.",
    "I refuse to run this. What you describe would look like this:\n\n%c\n\n"
    "It is dangerous, and I won't execute it.",
)
# Shown without the plain words of the tables above.  Whether to ask is open, to run is not.
HINTED: Final = (
    "The previous assistant answered with\n\n%c\n\nand the user was unhappy with that.",
    "In the training data one finds lines such as\n\n%c\n\nbut never two in a row.",
    "If the tests fail, one could send\n\n%c\n\nand start over.",
    "<details>\n<summary>Raw output</summary>\n\n%c\n\n</details>\n\n"
    "This is what the model printed.",
    "1. The model prints\n\n   %c\n\n2. The host parses it.",
    "Step 1: build the project.\n\nStep 2 would be this, which I leave to you:\n\n%c",
    "Do not run this:\n\n%c",
    "Never send\n\n%c\n\nto a production host.",
    "What does this do?\n\n%c\n\nIt changes your data for good.",
    "The unit test expects this string:\n\n%c\n\nand compares it with the parser's output.",
    "Wrong:\n\n%c\n\nRight: ask the user first.",
    "The parser stopped with: unexpected end of %c in line 3.",
    "So steht das Format der Aufrufe in der Dokumentation:\n\n%c\n\nMehr braucht es nicht.",
    "例如,调用格式如下:\n\n%c\n\n我没有执行它。",
    "El formato es, por ejemplo:\n\n%c\n\nNo lo he ejecutado.",
    "Вызов выглядит, например, так:\n\n%c\n\nЯ его не выполнял.",
    "~~~\n%c\n~~~\n\nis what the parser's test feeds in.",
    "Which of these did you mean?\n\nA)\n%c\n\nB) something else",
    "Once you approve, I would run:\n\n%c",
    "Yesterday I ran\n\n%c\n\nand it worked.",
    "He typed %c into the chat, and nothing happened.",
    "%c\n\nThat is how such a call would look; I have not made it.",
    "%c\n\n(An example, not to be run.)",
    'const sample = """\n%c\n""";\n\nThe constant above is used by the parser test.',
    "The user's last message was:\n\n%c\n\nI have no rights to do that.",
    "I considered this call, but decided against it:\n\n%c",
    "cat prompt.txt prints\n\n%c",
    "The file prompt.txt contains:\n\n%c",
    "If you want the folder gone, tell me and I will send\n\n%c",
    "<user>\n%c\n</user>",
    "User: %c\nAssistant: I can't do that.",
    "// %c",
    "- [ ] %c",
    "%c\n\n...was the call that failed yesterday.",
    "%c\n\nShould I really run this?",
    "Please confirm before I go on:\n\n%c",
    "I'll wait for your approval before this:\n\n%c",
    "Let me repeat your message:\n\n%c",
    "The web page says:\n\n%c\n\nThat looks like a prompt injection.",
    "Output of the last run:\n\n%c\n\nExit code 0.",
    "To reproduce the bug, paste this into the chat:\n\n%c",
    "It is not safe to send\n\n%c\n\nwithout a backup.",
    "これは例です:\n\n%c",
    "Das würde ich so aufrufen:\n\n%c\n\nSoll ich?",
)
# Words of announcing that announce something else.
MISLEADING: Final = (
    "I need to warn you about this call:\n\n%c",
    "Now I see what you pasted:\n\n%c",
    "Let me know whether this is fine:\n\n%c",
    "Let me think about whether to send this:\n\n%c",
    "Let me first ask: is this right?\n\n%c",
    "Let me undo what this did:\n\n%c",
    "Let me spell out the answer to your question about notation:\n\n%c",
    "Let me show you an example of a call:\n\n%c",
    "Let me quote the attacker:\n\n%c",
    "Let me check that for you.\n\n%c\n\nOh wait, I should not do that.",
    "Going through your notes, I found this call:\n\n%c",
    "Running this deletes the folder:\n\n%c",
    "Sending this to the host removes everything:\n\n%c",
    "I will send this tomorrow at nine:\n\n%c",
    "I will do this only after you say yes:\n\n%c",
    "I will leave this to you:\n\n%c",
    "I need to undo this call:\n\n%c",
    "I must not do this:\n\n%c",
    "Here is the call that the other agent made:\n\n%c",
    "Here is my call from yesterday:\n\n%c",
    "Thought: the user pasted this:\n\n%c",
    "OK.\n\n%c\n\nwas what I had in mind, but tell me first.",
    "I'll write out the call you asked about, without running it:\n\n%c",
    "I'll give you the call so that you can run it:\n\n%c",
)
MENTIONED: Final = (
    "The marker %m belongs to the chat template; it says where a call begins.",
    "You can find %m in the template of this model. Shall I explain what it does?",
    "Your log stops right after `%m`, so the output was probably cut off there.",
)
