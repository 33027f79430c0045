"""How the process logs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from gptme_reliability.surfaces.proxy.account import JsonLines


@dataclass(frozen=True, slots=True)
class Logs:
    """``form`` is that of each line on standard error; ``quiet`` leaves out those on requests."""

    form: Literal["text", "json"] = "text"
    quiet: bool = False

    def begin(self) -> None:
        """Log so from now on."""
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
        if self.form == "json":
            for handler in logging.getLogger().handlers:
                handler.setFormatter(JsonLines())
        level = logging.WARNING if self.quiet else logging.INFO
        logging.getLogger("gptme_reliability").setLevel(level)
