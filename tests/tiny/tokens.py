"""The tokenizer: byte-level pairs, learned from the training text.

Control tokens never print; the marks of calls and results do, since they are text to a client.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

CONTROL: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKS: Final = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
SIZE: Final = 1536
# How qwen2 cuts text into pieces before pairs are joined: llama.cpp knows it by that name.
PIECES: Final = "qwen2"
_PIECE: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def learn(texts: Iterable[str], path: Path) -> None:
    """Learn a tokenizer from texts and write it."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECE), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=[*CONTROL, *MARKS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(path))


def load(path: Path) -> Any:
    """A tokenizer as it was written."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(path))
