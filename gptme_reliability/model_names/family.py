"""The row of a model family; ``families`` and ``more_families`` hold the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Plain = Literal["chat", "tag", "unknown"]


@dataclass(frozen=True, slots=True)
class Release:
    """One published model.

    ``spelling``: the maker's name, from which size, mode and words are read.
    ``variant``: the name that the sampling cards use; None where they have none.
    ``size_b``, ``active_b``: billions of parameters, where the name does not say them.
    ``also``: other spellings that mean this model and no other.
    """

    spelling: str
    variant: str | None
    size_b: float | None = None
    active_b: float | None = None
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """A line of models that share a name.

    ``heads``: words with which a name of this family begins.
    ``releases``: the models that we know of.
    ``needs``: for families that share a head: words that must follow it, all those of one entry;
    ``"x/"`` asks for the publisher x.
    ``words``: further words that do not make it another model.
    ``sizes``: further published sizes; a name with any other size is another model.
    ``plain``: what a name without "instruct" stands for: the chat model everywhere, the chat
    model in a library's tag only (``qwen2.5:7b``), or one cannot know.
    ``hybrid``: reasons or not as asked, so that "instruct" says nothing about it.
    ``thinks``: True where every model of the family always reasons, False where none ever does.
    """

    name: str
    heads: tuple[str, ...]
    releases: tuple[Release, ...] = ()
    needs: tuple[str, ...] = ()
    words: str = ""
    sizes: str = ""
    plain: Plain = "tag"
    hybrid: bool = False
    thinks: bool | None = None


def release(
    variant: str, size_b: float | None = None, active_b: float | None = None, also: str = ""
) -> Release:
    """A model that the sampling cards name; ``also`` is parted by blanks."""
    return Release(variant, variant, size_b, active_b, tuple(also.split()))


def known(
    spelling: str, size_b: float | None = None, active_b: float | None = None, also: str = ""
) -> Release:
    """A published model without a name in the sampling cards: only its figures are used."""
    return Release(spelling, None, size_b, active_b, tuple(also.split()))
