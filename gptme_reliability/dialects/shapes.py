"""What the decoder finds: attempted calls, and the stretches of text they stand in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from gptme_reliability.excerpt import around_call
from gptme_reliability.repair.reading import Fault
from gptme_reliability.types import Repair


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why an attempt could not be read: a rule id and one sentence.

    ``written`` is what stands around the place where it broke, where that is known.
    """

    rule: str
    message: str
    written: str | None = None


def flaw_at(fault: Fault, text: str) -> Flaw:
    """The flaw of a call in ``text`` that broke where ``fault`` says.

    What was cut off broke at its end, which says nothing.
    """
    cut = fault.rule == "cut_off"
    return Flaw(fault.rule, fault.message, None if cut else around_call(text, fault.position))


ValueKind: TypeAlias = Literal["text", "json"]


class Untyped(str):
    """A value written as bare text between tags: the tool's schema says what it is.

    ``kind`` is what the dialect itself says about it, None when it says nothing.
    """

    kind: ValueKind | None

    def __new__(cls, text: str, kind: ValueKind | None = None) -> Untyped:
        made = super().__new__(cls, text)
        made.kind = kind
        return made


@dataclass(frozen=True, slots=True)
class RawCall:
    """One attempted call as it was written, before tools and schemas are looked at.

    ``flaw`` tells why the arguments (or the whole call) could not be read.
    ``positional`` are the unnamed arguments of a Python call; ``untyped`` says that the
    arguments hold ``Untyped`` texts.
    """

    name: str | None
    arguments: Any = None
    repairs: tuple[Repair, ...] = ()
    flaw: Flaw | None = None
    id: str | None = None
    positional: tuple[Any, ...] = ()
    untyped: bool = False

    def has(self, rule: str) -> bool:
        """Whether a repair of this rule was needed to read the call."""
        return any(repair.rule == rule for repair in self.repairs)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text that is, or may be, one or more calls.

    ``marked`` says that a dialect's own marker opened it, ``closed`` that its end stands in
    the text, ``thinking`` that it stands in reasoning that was never closed.
    """

    start: int
    end: int
    dialect: str
    calls: tuple[RawCall, ...]
    marked: bool = False
    closed: bool = False
    thinking: bool = False
