"""What comes of errands that the real gptme does with the tiny model; prints a table.

``python -m tiny.gptme_measure [--errands 40] [--model PATH]``: with native tools and with calls
in Markdown blocks, bare and with the plugin, at several temperatures.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Final

from llama_server import llama_server

from gptme_reliability.evals.launch import Launcher
from tiny.gptme_runs import Form, Run, Way, run
from tiny.gptme_task import Errand, errands
from tiny.template import HERE

SEED: Final = 7_003
"""Of errands that no training has seen."""

MODEL: Final = HERE / "gptme.gguf"
FORMS: Final[tuple[Form, ...]] = ("tool", "markdown")
TEMPERATURES: Final = (0.0, 0.7, 1.0, 1.3)


def sampling(seed: int) -> dict[str, float]:
    """No filter on what is drawn, so that the temperature alone says how noisy the model is."""
    return {"seed": seed, "top_k": 0, "min_p": 0.0}


def runs(
    model: Path, chosen: Sequence[Errand], way: Way, launcher: Launcher, *, workers: int = 2
) -> list[Run]:
    """The runs of all errands, each with a server and a seed of its own."""
    with ThreadPoolExecutor(workers) as pool:
        numbers = range(len(chosen))
        return list(pool.map(lambda n: _run(model, chosen[n], n, way, launcher), numbers))


def _run(model: Path, errand: Errand, seed: int, way: Way, launcher: Launcher) -> Run:
    # The same seed for all would have them begin with the same draw.
    with llama_server(model, sampling=sampling(seed)) as server:
        return run(errand, way, launcher, server.url)


def table(model: Path, chosen: Sequence[Errand]) -> Iterator[str]:
    """The table, line by line."""
    yield "| calls | T | | right | wrong | silent | refused | exit code not 0 |"
    yield "|---|---|---|---|---|---|---|---|"
    launcher = Launcher(warm=True)
    try:
        for form, temperature, guarded in product(FORMS, TEMPERATURES, (False, True)):
            got = runs(model, chosen, Way(form, guarded, temperature), launcher)
            counts = (
                sum(one.right for one in got),
                sum(one.wrong for one in got),
                sum(one.silent for one in got),
                sum(one.refused for one in got),
                sum(one.exit_code != 0 for one in got),
            )
            cells = " | ".join(map(str, counts))
            yield f"| {form} | {temperature} | {('bare', 'plugin')[guarded]} | {cells} |"
    finally:
        launcher.kill()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--errands", type=int, default=40)
    parser.add_argument("--model", type=Path, default=MODEL)
    given = parser.parse_args()
    for line in table(given.model, errands(given.errands, SEED)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
