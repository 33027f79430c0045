"""The command ``doctor``: its options and its help; what it does is imported when it runs."""

from __future__ import annotations

import argparse
from typing import Any, Final

_DESCRIPTION: Final = """\
Looks at everything between you and a checked tool call, and says how to mend what is wrong:
the plugin in gptme, its settings, what it needs of gptme, the server, the model and its card.

Sends no prompt and no key. A server outside of your network is asked only if you name it.
"""

_EPILOG: Final = """\
examples:
  gptme-reliability doctor
  gptme-reliability doctor --model local/qwen3:8b --endpoint http://127.0.0.1:11434/v1

exit codes:
  0    nothing failed; there may be warnings
  1    a check failed
"""


def add_doctor(commands: Any) -> None:
    """Add ``doctor`` to the command line."""
    doctor = commands.add_parser(
        "doctor",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.add_argument("--model", metavar="NAME", help="default: the one that gptme is set to")
    doctor.add_argument("--endpoint", metavar="URL", help="default: where gptme would ask")
    doctor.add_argument("--json", action="store_true", help="one JSON object")
    doctor.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from gptme_reliability.commands.examination import doctor

    return doctor(arguments.model, arguments.endpoint, as_json=arguments.json)
