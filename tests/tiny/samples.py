"""Writes ``samples.jsonl``: conversations, and the text and tokens that training makes of them.

``python -m tiny.samples TOKENIZER``.  The tests hold them against what llama.cpp makes of the
same conversations with the committed model.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tiny import tokens
from tiny.conversations import requests
from tiny.template import HERE, on_the_wire, rendered

SAMPLES: Final = HERE / "samples.jsonl"
_SEED: Final = 11
_COUNT: Final = 16


def samples(tokenizer: Any) -> Iterator[dict[str, Any]]:
    """Conversations of every kind, each up to where the model is to answer."""
    for request in requests(_COUNT, _SEED):
        text = rendered(request.messages, request.tools, prompt=True)
        yield {
            "messages": list(request.messages),
            "tools": [on_the_wire(tool) for tool in request.tools],
            "text": text,
            "tokens": tokenizer.encode(text).ids,
        }


def main() -> None:
    rows = samples(tokens.load(Path(sys.argv[1])))
    SAMPLES.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


if __name__ == "__main__":
    main()
