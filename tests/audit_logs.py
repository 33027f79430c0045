"""Logs of gptme for the tests of ``audit``, and the figures of one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gptme_reliability.audit.conversation import Conversation
from gptme_reliability.audit.counting import Tally
from gptme_reliability.audit.reading import read_message
from gptme_reliability.audit.setting import setting_of

ROWS: Final[list[dict[str, Any]]] = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases" / "audit.jsonl").read_text("utf-8").splitlines()
]
TOOLS: Final = ["shell", "ipython", "save", "append", "patch", "read", "complete"]
NUDGE: Final = next(
    message["content"]
    for row in ROWS
    for message in row["log"]
    if message["content"].startswith("<system>No tool call detected")
)
LEAK: Final = '{"name": "shell", "arguments": {"command": "cat /home/ann/secret.txt"}}'
LEAKED: Final = (
    {"role": "user", "content": "Show me secret.txt, please."},
    {"role": "assistant", "content": LEAK},
    {"role": "user", "content": NUDGE},
    {"role": "assistant", "content": '\n@my_secret(c0): {"path": "secret.txt"}'},
    {
        "role": "system",
        "content": "Tool 'my_secret' is not available for execution.",
        "call_id": "c0",
    },
    {"role": "assistant", "content": '\n@shell(c1): {"command": "cat secret.txt"}'},
    {"role": "system", "content": "Ran command", "call_id": "c1", "metadata": {"tool": "shell"}},
    {"role": "assistant", "content": "It holds a word."},
)


def read(
    log: Sequence[Mapping[str, Any]], form: str | None = "tool", *, redact: bool = False
) -> Tally:
    """The figures of one log."""
    tally = Tally()
    setting = setting_of({"tool_format": form, "model": "local/m", "tools": TOOLS})
    messages = [read_message(json.dumps(m).encode(), n) for n, m in enumerate(log, start=1)]
    Conversation("log", setting, tally, redact=redact).read(m for m in messages if m is not None)
    return tally


def found(tally: Tally) -> list[list[str]]:
    """Class, stage and tool of each failure, as the rows have them."""
    return sorted(
        [key.kind, stage, "?" if key.tool == "-" else key.tool]
        for (stage, key), count in tally.by_stage.items()
        for _ in range(count)
    )


def lay_out(home: Path, *logs: Sequence[Mapping[str, Any]]) -> Path:
    """A directory of conversations as gptme keeps it."""
    for index, log in enumerate(logs):
        place = home / f"2026-01-01-talk-{index}"
        place.mkdir(parents=True)
        chat = 'model = "local//home/ann/models/tiny.gguf"\ntool_format = "tool"'
        (place / "config.toml").write_text(f"[chat]\n{chat}\ntools = {json.dumps(TOOLS)}\n")
        write(place / "conversation.jsonl", log)
    return home


def write(path: Path, log: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(message) + "\n" for message in log), encoding="utf-8")
