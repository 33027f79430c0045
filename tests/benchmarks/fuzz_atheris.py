"""Coverage-guided fuzzing of the core with atheris, which has wheels for some Pythons only.

Run ``python tests/benchmarks/fuzz_atheris.py -max_total_time=600 [corpus folder]``; the options
are libFuzzer's.  Half of the inputs begin with a seed of ``fuzz_inputs``; what must hold is in
``fuzz_properties``.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final

atheris: Any = importlib.import_module("atheris")

with atheris.instrument_imports(include=["gptme_reliability"]):
    from fuzz_inputs import TOKENS, TOOLS, seeds
    from fuzz_properties import Case, examine

_KNOWN: Final = seeds()
_REASONS: Final = ("stop", "length", None)
_MOST_PIECES: Final = 12
_LONGEST_PIECE: Final = 40


def read(data: bytes) -> Case:
    """The case that these bytes choose: pieces of a seed, tokens and arbitrary text."""
    provider = atheris.FuzzedDataProvider(data)
    reason = provider.PickValueInList(list(_REASONS))
    seed = _KNOWN[provider.ConsumeIntInRange(0, len(_KNOWN) - 1)]
    text = seed.raw if provider.ConsumeBool() else ""
    for _ in range(provider.ConsumeIntInRange(0, _MOST_PIECES)):
        at = provider.ConsumeIntInRange(0, len(text))
        dropped = provider.ConsumeIntInRange(0, _LONGEST_PIECE) if provider.ConsumeBool() else 0
        if provider.ConsumeBool():
            piece = TOKENS[provider.ConsumeIntInRange(0, len(TOKENS) - 1)]
        else:
            piece = provider.ConsumeUnicode(provider.ConsumeIntInRange(0, _LONGEST_PIECE))
        text = text[:at] + piece + text[at + dropped :]
    return Case(text, seed.tools if seed.tools else TOOLS, reason)


def test_one_input(data: bytes) -> None:
    case = read(data)
    finding = examine(case, timed=False)
    if finding is not None:
        raise AssertionError(f"{finding}\n{case}")


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
