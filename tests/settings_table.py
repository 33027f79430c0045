"""The README's table of settings, made from the models that settings are checked with.

``python tests/settings_table.py --write`` puts it into the README.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from gptme_reliability.surfaces.keys import KEYS
from gptme_reliability.surfaces.schema import FACT_KEYS, CommonSection, ModelSection, PolicySection

README: Final = Path(__file__).parent.parent / "README.md"
HEAD: Final = "| key | default | meaning |\n|---|---|---|\n"
TABLE: Final = re.compile(re.escape(HEAD) + r"(?:\|.*\n)+")

_ABOUT: Final[dict[str, type[BaseModel]]] = {"policy": PolicySection, "": CommonSection}


def rows() -> Iterator[tuple[str, Any, str]]:
    """Every key, its default and what it means: settings first, then what describes a model."""
    for key, setting in KEYS.items():
        section, _, name = key.rpartition(".")
        yield key, setting.default, _meaning(_ABOUT[section], name)
    for name in ModelSection.model_fields:
        if name in FACT_KEYS:
            yield f"models.*.{name}", None, _meaning(ModelSection, name)


def _meaning(section: type[BaseModel], name: str) -> str:
    meaning = section.model_fields[name].description
    if not meaning:
        raise LookupError(f"{section.__name__}.{name} has no description")
    return meaning


def table() -> str:
    """The table as the README holds it."""
    lines = (
        f"| `{key}` | `{json.dumps(default)}` | {meaning} |\n" for key, default, meaning in rows()
    )
    return HEAD + "".join(lines)


def main() -> None:
    """Write the table into the README, or print it."""
    if sys.argv[1:] == ["--write"]:
        text = README.read_text(encoding="utf-8")
        README.write_text(TABLE.sub(lambda _: table(), text, count=1), encoding="utf-8")
    else:
        print(table(), end="")


if __name__ == "__main__":
    main()
