"""Every scenario of the tables through the real gptme, without and with the plugin.

Run ``python tests/benchmarks/gptme_arms.py``; it takes up to 40 minutes on 2 cores.
It prints the table of the README: how many runs came to which end; a terminal shows how far it is.
"""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rich.console import Console
from rich.progress import Progress
from scenario_tables import DEFECTS, MUST_NOT_EXECUTE

from gptme_reliability.evals.gptme_run import run_gptme
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import Scenario

ENDS = (
    ("as meant, at once", {"executed"}),
    ("as meant, after the model was told its fault", {"asked"}),
    ("stays text, as it should", {"text"}),
    ("stays text, after a question about it", {"asked for nothing"}),
    ("what was meant does not run", {"not run"}),
    ("ends silently", {"silent"}),
    ("**runs what was not meant**", {"wrong"}),
    ("**runs an empty command**", {"empty command"}),
    ("gptme dies or hangs", {"crash", "hung", "stuck"}),
    ("could not be judged", {"unjudged"}),
)


def progress_bar() -> Progress:
    """A bar on a terminal; nothing where nobody looks."""
    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)


def main() -> None:
    scenarios = (*DEFECTS, *MUST_NOT_EXECUTE)
    jobs = [(s, streamed) for s in scenarios for streamed in (False, True)]
    jobs = [(s, streamed) for s, streamed in jobs if streamed or not s.only_streamed]
    counts: list[Counter[str]] = []
    launcher = Launcher(warm=True)
    try:
        with progress_bar() as progress:
            for plugin, words in ((False, "gptme alone"), (True, "with the plugin")):

                def end(job: tuple[Scenario, bool], plugin: bool = plugin) -> str:
                    scenario, streamed = job
                    run = run_gptme(scenario, streamed=streamed, plugin=plugin, launcher=launcher)
                    return run.outcome

                with ThreadPoolExecutor(2) as pool:
                    ends = pool.map(end, jobs)
                    shown = progress.track(ends, total=len(jobs), description=words)
                    counts.append(Counter(shown))
    finally:
        launcher.kill()
    print(f"| {len(scenarios)} scenarios, {len(jobs)} runs | gptme alone | with the plugin |")
    print("|---|---|---|")
    for words, outcomes in ENDS:
        alone, ours = (sum(count[outcome] for outcome in outcomes) for count in counts)
        print(f"| {words} | {alone} | {ours} |")


if __name__ == "__main__":
    main()
