"""What this plugin adds to the start of gptme, in milliseconds.

Run as a script; exits with 1 if the import costs more than it may.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from typing import Final

RUNS: Final = 11
MOST_MS: Final = 20.0

# What gptme itself imports at the start of a session with an OpenAI-compatible model.
CODE: Final = """
import json, time
import gptme.init, gptme.cli.main, gptme.llm.llm_openai
from gptme.config import get_config
config = get_config()
begin = time.perf_counter()
import gptme_reliability.surfaces.gptme.plugin as entry
imported = time.perf_counter()
entry.plugin.init(config)
done = time.perf_counter()
print(json.dumps({"import": (imported - begin) * 1e3, "init": (done - imported) * 1e3}))
"""


def measure() -> dict[str, float]:
    """Medians over fresh processes."""
    runs: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as home:
        for _ in range(RUNS):
            done = subprocess.run(
                [sys.executable, "-c", CODE],
                env={"HOME": home, "PATH": "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=True,
            )
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    return {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]}


if __name__ == "__main__":
    result = measure()
    print(json.dumps(result))
    sys.exit(result["import"] > MOST_MS)
