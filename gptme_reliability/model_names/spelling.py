"""How a model's name falls into publisher, words, library tag and quantisation label."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain
from typing import Final

from gptme_reliability.model_names.quants import take_quant
from gptme_reliability.model_names.words import (
    GENERIC_FILES,
    JOINED,
    LIBRARY_TAGS,
    PACKING,
    PUBLISHERS,
    SERVERS,
)

_FOLDERS_ASKED: Final = 4
_WEIGHTS_FILE: Final = re.compile(r"\.(?:gguf|ggml|safetensors|bin|onnx|llamafile)\Z")
_SHARD: Final = re.compile(r"[-_.][0-9]{5}-of-[0-9]{5}\Z")
_HASH: Final = re.compile(r"[0-9a-f]{32,64}")
_PLAIN: Final = re.compile(r"[a-z0-9_.:@ +()\-]*")
_DECIMAL: Final = re.compile(r"(?<=[0-9])[_p](?=[0-9])")
_WORD: Final = re.compile(r"[a-z0-9]+(?:(?<=[0-9])\.(?=[0-9])[a-z0-9]+)*")
_SEAM: Final = re.compile(r"(?<=[a-z]{3})(?=[0-9])|(?<=[0-9])(?=[a-z]{2})")
_COPY: Final = re.compile(r"[2-9]")  # LM Studio counts loads of one model: qwen3-8b:2
_MAJOR: Final = re.compile(r"v?[0-9]")


@dataclass(frozen=True, slots=True)
class Spelling:
    """The parts of a name, in lower case.

    ``publishers``: every folder or provider before the model's own name.
    ``words``: what the name consists of: "Qwen2.5-7B" is qwen, 2.5, 7b.
    ``tagged``: a library's tag says which model it is, as in ``qwen2.5:7b``.
    ``quant``, ``bits``: the quantisation label, and about how many bits a weight takes.
    """

    publishers: tuple[str, ...]
    words: tuple[str, ...]
    tagged: bool
    quant: str | None
    bits: float | None


def spell(name: str) -> Spelling | None:
    """Part a name; None where it holds signs that no model's name has."""
    *above, last = _segments(name.lower()) or [""]
    folders, leaf = _stem(above, last)
    own, _, revision = leaf.partition("@")
    rest, quant, bits = take_quant(own)
    if revision and quant is None:  # "@" parts a file from its label, or a branch, or a server
        _, quant, bits = take_quant(revision)
    if not _PLAIN.fullmatch(leaf):
        return None
    head, _, tag = _without_server(rest).partition(":")
    in_library = leaf == last and not PUBLISHERS.intersection(folders)
    if in_library and tag in ("", "latest"):
        tag = LIBRARY_TAGS.get(head, tag)
    if _COPY.fullmatch(tag.strip("-.")):
        tag = ""
    tag_words = words_of(tag)
    return Spelling(
        tuple(folders),
        (*words_of(head), *tag_words),
        not PACKING.issuperset(tag_words),
        quant,
        bits,
    )


def words_of(text: str) -> tuple[str, ...]:
    """The words of a lower-case text, letters and versions apart: ``llama3_1`` is llama, 3.1."""
    pieces = _WORD.findall(_DECIMAL.sub(".", text))
    return tuple(_joined(list(chain.from_iterable(map(_SEAM.split, pieces)))))


def _segments(name: str) -> list[str]:
    """Folders and leaf; a hub's cache folder ``models--qwen--qwen3-8b`` counts as two."""
    parts = name.strip().replace("\\", "/").split("/")
    found: list[str] = []
    for part in filter(None, parts):
        found += part.split("--")[1:] if part.startswith("models--") else [part]
    return found


def _stem(folders: list[str], leaf: str) -> tuple[list[str], str]:
    """The part that names the model: a file called ``model.gguf`` leaves that to its folder."""
    stem = _SHARD.sub("", _WEIGHTS_FILE.sub("", leaf))
    is_file = stem != leaf or "snapshots" in folders
    for _ in range(_FOLDERS_ASKED):
        if not (is_file and folders and _says_nothing(stem)):
            break
        label = "" if _HASH.fullmatch(stem) else _own(stem)
        *folders, folder = folders
        stem = f"{folder}-{label}" if label else folder
    return folders, stem


def _says_nothing(stem: str) -> bool:
    if _HASH.fullmatch(stem):
        return True
    return PACKING.union(GENERIC_FILES).issuperset(words_of(take_quant(stem)[0]))


def _own(stem: str) -> str:
    return "-".join(part for part in stem.split("-") if part not in GENERIC_FILES)


def _without_server(name: str) -> str:
    server, colon, rest = name.partition(":")
    return rest if colon and server in SERVERS else name


def _joined(words: list[str]) -> list[str]:
    """Join what stands for one word: ``3-1`` is 3.1, ``no think`` is nothink."""
    found: list[str] = []
    for word in words:
        last = found[-1] if found else ""
        if (last, word) in JOINED:
            found[-1] = JOINED[last, word]
        elif _MAJOR.fullmatch(last) and len(word) == 1 and word.isdigit():
            found[-1] = f"{last}.{word}"
        else:
            found.append(word)
    return found
