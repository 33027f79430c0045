"""What is wrong with the tools that gptme offers, once per process and in the log only."""

from __future__ import annotations

import json
import logging
from typing import Any

logger = logging.getLogger(__name__)

_seen: set[int] = set()


def log_once(tools: Any) -> None:
    """Log one line about a set of tools that has errors or warnings, where it is a new one.

    With errors, which make servers refuse requests, the line is a warning.  Without, it is for
    debugging: gptme shows all else of its log on the terminal, and its own tools have warnings
    that no user can mend.  Never raises.
    """
    try:
        if isinstance(tools, list):
            _log_once(tools)
    except Exception:  # nothing about advice may stop a request
        logger.debug("reliability: the tools could not be looked at", exc_info=True)


def _log_once(tools: list[Any]) -> None:
    key = hash(json.dumps(tools, sort_keys=True))
    if key in _seen:
        return
    _seen.add(key)
    from gptme_reliability.lint import lint
    from gptme_reliability.lint.rules import counted
    from gptme_reliability.surfaces.gptme.notices import printable

    found = [finding for finding in lint(tools) if finding.severity != "hint"]
    if not found:
        return
    errors = [finding for finding in found if finding.severity == "error"]
    first = (errors or found)[0]
    about = f"{first.tool}: " if first.tool else ""
    warnings = counted(len(found) - len(errors), "warning")
    line = (
        f"{counted(len(tools), 'tool')} with {counted(len(errors), 'error')} and {warnings} "
        f"in their definitions, such as {about}{first.message} ({first.path}); "
        "gptme-reliability lint tells them all"
    )
    logger.log(
        logging.WARNING if errors else logging.DEBUG, "reliability: %s", printable(line, 500)
    )
