"""``python -m gptme_reliability``: the command line."""

from __future__ import annotations

import sys

from gptme_reliability.cli import main

if __name__ == "__main__":
    sys.exit(main())
