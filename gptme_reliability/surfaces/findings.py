"""What a check-up finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["ok", "warn", "fail"]
"""``fail``: it does not work.  ``warn``: it works otherwise than one may think."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``fix`` says what to do, empty where nothing is to be done."""

    check: str
    state: State
    says: str
    fix: str = ""
