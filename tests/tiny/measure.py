"""How often the tiny models are right, bare and with this project between.

``python -m tiny.measure FILE`` measures every cell of the tables in the README, prints each as
it is done, and writes them as JSON lines; ``tiny.tables`` makes the tables of that file.  Bare
and native is what the server makes of the answer; bare and prompted reads the calls in the text
plainly.  With this project between, a model may be asked again as the policy has it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Final

from llama_server import LlamaServer, llama_server
from recording_host import RecordingHost

from gptme_reliability.surfaces.host import Settings
from gptme_reliability.types import RUNGS, ModelFacts, Policy
from tiny.asking import (
    Got,
    asked,
    in_words,
    made_wrongly,
    read_plainly,
    right,
    sampling,
    sdk,
    usable,
    whole,
)
from tiny.task import Case, cases
from tiny.template import HERE

SEED: Final = 7_001
"""Of cases that no training has seen."""

CASES: Final = 160
TEMPERATURES: Final = (0.0, 0.7, 1.0, 1.3)
MODES: Final = ("native", "prompted")
# An answer counts when all of its calls are right, so that good ones wait for the others.
POLICY: Final = Policy(partial="hold", backoff=0.0)

BARE: Final = "bare"
GUARDED: Final = "guarded"
ESCALATED: Final = "guarded, native after all"
ARMS: Final[Mapping[str, Policy | None]] = {
    BARE: None,
    GUARDED: POLICY,
    ESCALATED: replace(POLICY, rungs=("prompt", "native")),
    "no repairs": replace(POLICY, allow=frozenset()),
    "no names": replace(POLICY, resolve=False),
    "no asking": replace(POLICY, retries=0),
    "no schema": replace(POLICY, rungs=tuple(rung for rung in RUNGS if rung != "structure")),
    "only told": replace(POLICY, rungs=("re_ask", "prompt")),
}
"""What each arm may do; None is without this project."""

MODELS: Final = ("steady", "noisy")
_SHOWN: Final = ("right", "wrong", "defects", "requests")
ABLATION: Final = tuple(ARMS)[3:]
ABLATED_AT: Final = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of the cases in one arm, each a list with an entry for each case.

    ``right``: the calls it wants and no other, or words where it wants none.  ``wrong``: a call
    ran that it does not want.  ``defects``: a call reached the host that no tool takes.
    ``requests`` to the server and ``tokens`` of it; ``seconds`` are those of all cases.
    """

    model: str
    mode: str
    temperature: float
    arm: str
    right: list[bool]
    wrong: list[bool]
    defects: list[bool]
    errors: int
    requests: list[int]
    tokens: list[int]
    seconds: float


def measured(
    server: LlamaServer, chosen: Sequence[Case], mode: str, temperature: float, arm: str
) -> Cell:
    """One cell."""
    policy, since = ARMS[arm], time.monotonic()
    facts = ModelFacts(native_tools=mode == "native")
    settings = Settings("local/tiny", policy=policy or POLICY, facts=facts)
    host = RecordingHost(settings) if policy else None
    found = list(_asked(server, chosen, mode, temperature, host))
    got = [(case, one) for case, (one, _) in zip(chosen, found, strict=True)]
    return Cell(
        model=server.model,
        mode=mode,
        temperature=temperature,
        arm=arm,
        right=[right(*pair) for pair in got],
        wrong=[made_wrongly(*pair) for pair in got],
        defects=[not usable(case, one.calls) for case, one in got],
        errors=sum(one.error is not None for _, one in got),
        requests=[count for _, count in found],
        tokens=[one.tokens for _, one in got],
        seconds=round(time.monotonic() - since, 2),
    )


def _asked(
    server: LlamaServer,
    chosen: Sequence[Case],
    mode: str,
    temperature: float,
    host: RecordingHost | None,
) -> Iterator[tuple[Got, int]]:
    """What came for each case, and how many requests it took."""
    with sdk(server.url, host) as client:
        for number, case in enumerate(chosen):
            params = sampling(temperature, number)
            before = len(host.asked) if host else 0
            if mode == "native" or host is not None:
                got = whole(client, asked(case, **params))
            else:
                got = read_plainly(whole(client, in_words(case, **params)))
            yield got, 1 + (len(host.asked) - before if host else 0)


def planned(models: Sequence[str]) -> Iterator[tuple[str, str, float, str]]:
    """The cells of the tables: model, mode, temperature, arm."""
    for model in models:
        yield from product([model], MODES, TEMPERATURES, (BARE, GUARDED))
    yield from product(["noisy"], ["prompted"], TEMPERATURES, [ESCALATED])
    yield from product(["noisy"], ["prompted"], ABLATED_AT, ABLATION)


def read(file: Path) -> list[Cell]:
    """The cells that were measured."""
    return [Cell(**json.loads(line)) for line in file.read_text("utf-8").splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, help="where the cells are written, as JSON lines")
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--directory", type=Path, default=HERE, help="where the models are")
    given = parser.parse_args()
    chosen = cases(given.cases, SEED)
    with given.file.open("w", encoding="utf-8") as file, ExitStack() as running:
        servers = {
            name: running.enter_context(llama_server(given.directory / f"{name}.gguf"))
            for name in MODELS
        }
        for model, mode, temperature, arm in planned(MODELS):
            cell = measured(servers[model], chosen, mode, temperature, arm)
            print(json.dumps(asdict(cell)), file=file, flush=True)
            shares = " ".join(f"{k} {sum(getattr(cell, k)) / len(chosen):.2f}" for k in _SHOWN)
            print(f"{model} {mode} {temperature} {arm}: {shares}; {cell.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
