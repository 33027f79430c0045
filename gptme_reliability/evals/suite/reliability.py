"""The scenarios of this package that gptme's own tools can do, as ``gptme-eval -E`` wants them."""

from __future__ import annotations

from typing import Any, Final

from gptme_reliability.evals.suite_specs import specs

tests: Final[list[dict[str, Any]]] = specs()
"""One ``EvalSpec`` of gptme a scenario."""
