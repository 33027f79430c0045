"""The command ``cards``: its options and its help; what it does is imported when it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

_DESCRIPTION: Final = """\
Sampling cards: what the publishers of models say about sampling, each value with its source.

  list      every card
  show      which card a model gets, every source that speaks of it, and where they disagree
  check     look for faults in cards of your own
  new       begin a card of your own for a model
  explain   what would be sent to a server for a model, and why each value
"""

_EPILOG: Final = """\
Your own cards lie in ~/.config/gptme/reliability/cards (or below $XDG_CONFIG_HOME) and win over
those that are shipped. A model that no card describes gets no values: nothing is guessed.

examples:
  gptme-reliability cards show qwen3:8b
  gptme-reliability cards explain local/qwen3:8b --endpoint http://127.0.0.1:11434/v1
  gptme-reliability cards new my-finetune-7b && gptme-reliability cards check

exit codes:
  0    done
  1    check: there are faults, one a line; show: no card; explain: no contract, and why not
  2    the input or an option is wrong, or the server cannot be reached; one line says what
"""

_MODES: Final = ("thinking", "instruct", "base")


def add_cards(commands: Any) -> None:
    """Add ``cards`` and its subcommands to the command line."""
    cards = commands.add_parser(
        "cards",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = cards.add_subparsers(metavar="what", required=True)

    listing = actions.add_parser("list", description="Lists every card, a row each.")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    listing.set_defaults(run=_list)

    show = actions.add_parser(
        "show",
        description="Shows what a model's name says, which card it gets, and every other source.",
    )
    show.add_argument("model", metavar="MODEL", help="in any spelling: qwen3:8b, a GGUF path, ...")
    show.add_argument("--mode", choices=_MODES, help="the mode it runs in; default: every one")
    show.set_defaults(run=_show)

    check = actions.add_parser(
        "check",
        description="Looks for faults in card files, and for cards that contradict each other. "
        "Prints one line for each and exits with 1 when there is any.",
    )
    check.add_argument(
        "files", metavar="FILE", nargs="*", type=Path, help="default: all your own cards"
    )
    check.set_defaults(run=_check)

    new = actions.add_parser(
        "new",
        description="Writes a card for a model, for you to fill in. Until it has values, the model "
        "is refused as before. A file that exists is never overwritten.",
    )
    new.add_argument("model", metavar="MODEL", help="the name that you give gptme")
    new.add_argument("-o", dest="output", metavar="FILE", help="write there; - for standard output")
    new.set_defaults(run=_new)

    explain = actions.add_parser(
        "explain",
        description="Shows what would be sent for a model that is offered tools, and why each "
        "value. With --endpoint, asks that server what it is and what its model declares. "
        "TEMPERATURE and TOP_P of the environment count as set by you.",
    )
    explain.add_argument("model", metavar="MODEL", help="the name that you give gptme")
    explain.add_argument("--endpoint", metavar="URL", help="such as http://127.0.0.1:8080/v1")
    explain.add_argument("--mode", choices=_MODES, help="the mode it runs in")
    explain.add_argument("--json", action="store_true", help="one JSON object")
    explain.set_defaults(run=_explain)


def _list(arguments: argparse.Namespace) -> int:
    from gptme_reliability.commands.cards_shown import list_cards

    return list_cards(as_json=arguments.json)


def _show(arguments: argparse.Namespace) -> int:
    from gptme_reliability.commands.cards_shown import show_cards

    return show_cards(arguments.model, arguments.mode)


def _check(arguments: argparse.Namespace) -> int:
    from gptme_reliability.commands.cards_own import check_own

    return check_own(arguments.files)


def _new(arguments: argparse.Namespace) -> int:
    from gptme_reliability.commands.cards_own import begin_card

    return begin_card(arguments.model, arguments.output)


def _explain(arguments: argparse.Namespace) -> int:
    from gptme_reliability.commands.explain import explain

    return explain(arguments.model, arguments.endpoint, arguments.mode, as_json=arguments.json)
