"""gptme's own ``gptme-eval``, with the suite of this package among its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from gptme_reliability.errors import ReliabilityError
from gptme_reliability.evals.suite.reliability import tests

if TYPE_CHECKING:
    from gptme.eval.types import EvalSpec

SUITE: Final = "reliability"


def run_suite(arguments: Sequence[str]) -> int:
    """Run ``gptme-eval ARGUMENTS``; the suite runs where they name none.  Gives its exit code.

    Results go to ``./eval_results`` unless ``EVAL_RESULTS_DIR`` is set: by itself, an installed
    gptme writes them beside its own package.

    Raises:
        ReliabilityError: ``gptme-eval`` cannot be imported, or does not know a name.
    """
    command = _gptme_eval()
    os.environ.setdefault("EVAL_RESULTS_DIR", str(Path("eval_results").absolute()))
    try:
        command.main(list(arguments), prog_name="gptme-reliability eval suite")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except ValueError as error:  # so it tells of a name that it does not know
        raise ReliabilityError(f"gptme-eval: {error}; --list shows the names") from None
    return 0


def _gptme_eval() -> Any:
    """The command, with the suite where it looks names up and for want of names."""
    try:
        from gptme.eval.main import main
        from gptme.eval.suites import suites, tests_default, tests_default_ids, tests_map
    except ImportError as error:
        raise ReliabilityError(f"gptme-eval cannot be imported: {error}") from None
    own = cast("list[EvalSpec]", tests)
    suites[SUITE] = own
    tests_map.update({test["name"]: test for test in own})
    tests_default[:] = own
    tests_default_ids[:] = [test["name"] for test in own]
    return main
