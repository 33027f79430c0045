"""Make the rows of ``cases/families``: every spelling × every defect, with what is right.

Run ``python tests/make_families.py`` after a change of a table; ``test_make_families.py`` holds
that the committed files are what this makes.  A row is

``{"id", "family", "defect", "mode", "raw", "tools", "finish_reason"?, "stream"?, "expect",
"calls", "or_retry"?}``

``expect`` is ``accept`` (exactly these calls), ``retry`` (asked again; ``calls`` stand) or
``text`` (a plain answer).  ``or_retry`` marks texts where asking would be as lawful as leaving
them alone; running a call never is.  ``handwritten.jsonl`` beside them is written by hand.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import family_sound  # noqa: F401  (registers its classes)
import family_unsafe  # noqa: F401
from family_maker import BIG, CLASSES, Maker
from family_table import FAMILIES

SHARE: Final = ({1: 0.25, 2: 0.8, 3: 1.0}, {1: 0.1, 2: 0.3, 3: 0.8})
"""How likely a class is made for a spelling that is not big: first or further, by its weight."""

FOLDER: Final = Path(__file__).parent / "cases" / "families"


def rows(family_id: str) -> Iterator[dict[str, Any]]:
    """The rows of one dialect, all its spellings, in a fixed order.

    Big families get every class, often several times; the others the classes that matter most
    and some of the rest; a further spelling of a dialect fewer again.
    """
    spellings = [family for family in FAMILIES if family.id == family_id]
    for number, family in enumerate(spellings):
        for defect, (make, times) in CLASSES.items():
            # A seed per class: a new class does not change the rows of the others.
            rng = random.Random(f"{family.label}/{defect}")
            maker = Maker(family, defect, rng)
            big = family.id in BIG and number == 0
            if big or rng.random() < SHARE[number > 0][min(times, 3)]:
                for _ in range(times if big else 1):
                    make(maker)
            yield from maker.rows


def files() -> dict[str, str]:
    """File name → content, for every family."""
    ids = dict.fromkeys(family.id for family in FAMILIES)
    return {
        f"{family_id}.jsonl": "".join(
            json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"
            for row in rows(family_id)
        )
        for family_id in ids
    }


if __name__ == "__main__":
    for file_name, content in files().items():
        (FOLDER / file_name).write_text(content, "utf-8")
