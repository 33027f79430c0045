"""How often the tiny model is right, bare and with this project between; prints a table.

``python -m tiny.measure [--cases 80] [--models steady,noisy]``.  Bare and native is what the
server makes of the answer; bare and prompted reads the calls in the text plainly.  With this
project between, a model may be asked again as the policy's defaults have it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

from llama_server import LlamaServer, llama_server
from recording_host import RecordingHost

from gptme_reliability.surfaces.host import Settings
from gptme_reliability.types import ModelFacts, Policy
from tiny.asking import Got, asked, in_words, read_plainly, right, sampling, sdk, usable, whole
from tiny.task import Case, cases
from tiny.template import HERE

SEED: Final = 7_001
"""Of cases that no training has seen."""

TEMPERATURES: Final = (0.0, 0.7, 1.0, 1.3)
MODES: Final = ("native", "prompted")
# An answer counts when all of its calls are right, so that good ones wait for the others.
_POLICY: Final = Policy(partial="hold", backoff=0.0)


@dataclass(frozen=True, slots=True)
class Cell:
    """Shares of the cases: right calls, right words, unusable calls handed to the host, errors.

    ``requests`` is how many a case took, ``seconds`` how long all of them did.
    """

    calls: float
    words: float
    unusable: float
    errors: float
    requests: float
    seconds: float


def measured(
    server: LlamaServer, chosen: Sequence[Case], mode: str, temperature: float, *, guarded: bool
) -> Cell:
    """One cell of the table."""
    since = time.monotonic()
    facts = ModelFacts(native_tools=mode == "native")
    host = RecordingHost(Settings("local/tiny", policy=_POLICY, facts=facts)) if guarded else None
    got = list(_asked(server, chosen, mode, temperature, host))
    wanting = [(case, one) for case, one in zip(chosen, got, strict=True) if case.calls]
    talking = [(case, one) for case, one in zip(chosen, got, strict=True) if not case.calls]
    return Cell(
        calls=_share([right(case, one) for case, one in wanting]),
        words=_share([right(case, one) for case, one in talking]),
        unusable=_share([not usable(c, one.calls) for c, one in zip(chosen, got, strict=True)]),
        errors=_share([one.error is not None for one in got]),
        requests=1 + (len(host.asked) / len(chosen) if host else 0.0),
        seconds=time.monotonic() - since,
    )


def _asked(
    server: LlamaServer,
    chosen: Sequence[Case],
    mode: str,
    temperature: float,
    host: RecordingHost | None,
) -> Iterator[Got]:
    with sdk(server.url, host) as client:
        for number, case in enumerate(chosen):
            params = sampling(temperature, number)
            if mode == "native" or host is not None:
                yield whole(client, asked(case, **params))
            else:
                yield read_plainly(whole(client, in_words(case, **params)))


def _share(found: Sequence[bool]) -> float:
    return sum(found) / max(len(found), 1)


def table(models: Sequence[Path], chosen: Sequence[Case]) -> Iterator[str]:
    """The table, line by line."""
    yield "| model | tools | T | | calls | words | unusable | errors | requests | s |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for model in models:
        with llama_server(model) as server:
            for mode, temperature, guarded in product(MODES, TEMPERATURES, (False, True)):
                cell = measured(server, chosen, mode, temperature, guarded=guarded)
                yield (
                    f"| {model.stem} | {mode} | {temperature} | {('bare', 'guarded')[guarded]} "
                    f"| {cell.calls:.3f} | {cell.words:.3f} | {cell.unusable:.3f} "
                    f"| {cell.errors:.3f} | {cell.requests:.2f} | {cell.seconds:.0f} |"
                )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=80)
    parser.add_argument("--models", default="steady,noisy", help="names here, or paths")
    given = parser.parse_args()
    models = [
        HERE / f"{name}.gguf" if "/" not in name else Path(name) for name in given.models.split(",")
    ]
    for line in table(models, cases(given.cases, SEED)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
