"""Goes on training a checkpoint with gptme's conversations; see README.md.

``python -m tiny.gptme_train CHECKPOINT DIRECTORY``, the tokenizer beside the checkpoint.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tiny import gptme_talk
from tiny.conversations import Row
from tiny.model import load
from tiny.train import POOL, train

STEPS: Final = 1_000


def _made(_number: int, seed: int) -> Iterator[Row]:
    return gptme_talk.rows(POOL, seed)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS, help="how many more")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    shutil.copy(given.checkpoint.with_name("tokenizer.json"), given.directory)
    _, done = load(given.checkpoint)
    train(given.directory, done + given.steps, given.checkpoint, given.threads, _made)


if __name__ == "__main__":
    main()
