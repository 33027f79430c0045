"""The last line: what gptme asks about before it runs something, this asks of the call's schema.

Calls that came from elsewhere than a checked answer end here as well.  A call that violates its
tool's schema is skipped with the fault in words for the model.  Everything else is left to
gptme's own confirmation: nothing here ever confirms.

gptme takes more than its schemas say, and what it runs rightly is no violation here: further
arguments, null where one may be left out, and text for any type.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from gptme_reliability.dialects.host_formats import MARKDOWN, XML, Places
from gptme_reliability.feedback import render
from gptme_reliability.surfaces.gptme.mcp_tools import is_mcp
from gptme_reliability.surfaces.gptme.text_format import POSITIONAL, definition
from gptme_reliability.types import ToolDefinition, Violation
from gptme_reliability.validate import validate

if TYPE_CHECKING:
    from gptme.hooks.confirm import ConfirmationResult
    from gptme.tools.base import ToolUse

    from gptme_reliability.surfaces.gptme.config import ModelConfig

_DIALECTS: Final = {"markdown": MARKDOWN, "xml": XML}
_RULES: Final = frozenset({"missing", "not_an_object", "type"})
# What the tools of others make of a value of another type, only they know; and gptme says
# "string" for every parameter of an MCP server whose type it does not find.
_RULES_OF_OTHERS: Final = _RULES - {"type"}
_NOT_RUN: Final = "This call was not run."
# Declared as text, and read as a list where it is one.  Source: gptme 0.35.1, patch_many.py.
_ALSO_LISTS: Final = frozenset({("patch_many", "$.patches")})
# What these write may well be nothing but blank lines.
_TAKE_BLANKS: Final = frozenset({"save", "append"})
# To a skipped call of these gptme answers with words of its own, and ends the turn.
_SILENT: Final = frozenset({"ipython", "tmux"})
# A model that goes on like this must not keep a session alive for ever.
_MOST_TOLD: Final = 3
_unheard: dict[str, str] = {}
_told: Counter[str] = Counter()


def confirm(use: ToolUse, settings: ModelConfig) -> ConfirmationResult | None:
    """Skip a call that violates its schema; None for all others, and for all when observing.

    Raises:
        ToolDefinitionError: the tool's parameters are no schema.
    """
    from gptme_reliability.surfaces.gptme import notices
    from gptme_reliability.surfaces.gptme.current import conversation, in_server

    tool, found = faults(use)
    if tool is None or not found:
        return None
    observing = settings.values["mode"] == "observe"
    if settings.values["notice"]:
        said = "observing, nothing changed: would not run" if observing else "not run:"
        notices.say(f"{said} {use.tool}: {found[0].message}")
    if observing:
        return None
    from gptme.hooks.confirm import ConfirmationResult

    dialect = _DIALECTS.get(_format(use)) if use.kwargs is None else None
    words = f"{_NOT_RUN} {render(found, [tool], dialect=dialect)}"
    # A server never asks what is to be told behind a turn.
    if use.tool in _SILENT and not in_server():
        _unheard[conversation()] = words
    return ConfirmationResult.skip(words)


def unheard() -> str | None:
    """What the model of this conversation has yet to be told, a few turns in a row at most.

    It is forgotten.
    """
    from gptme_reliability.surfaces.gptme.current import conversation

    where = conversation()
    words = _unheard.pop(where, None)
    if words is None:
        _told.pop(where, None)
        return None
    if _told[where] >= _MOST_TOLD:
        return None
    _told[where] += 1
    return words


def forget() -> None:
    """What this conversation was not told by now is about an earlier turn, and told no more."""
    from gptme_reliability.surfaces.gptme.current import conversation

    _unheard.pop(conversation(), None)


def faults(use: ToolUse) -> tuple[ToolDefinition | None, list[Violation]]:
    """The definition of a call's tool, and what makes the call wrong by it.

    None and nothing for a tool that is not loaded, or that reads its text in a way of its own.

    Raises:
        ToolDefinitionError: the tool's parameters are no schema.
    """
    from gptme.tools import get_tool

    spec = get_tool(use.tool)
    tool = definition(spec) if spec is not None else None
    arguments = None if tool is None else _arguments(use, spec, tool)
    if tool is None or arguments is None:
        return None, []
    needed = tool.parameters.get("required", ())
    rules = _RULES if _is_gptmes(spec) else _RULES_OF_OTHERS
    found = [one for one in validate(arguments, tool) if one.rule in rules]
    return tool, [one for one in found if not _is_put_up_with(one, use.tool, needed)]


def _is_put_up_with(violation: Violation, tool: str, needed: Any) -> bool:
    if violation.rule != "type":
        return False
    written, path = violation.written, violation.path
    if isinstance(written, list):
        return (tool, path) in _ALSO_LISTS
    left_out = written is None and path.removeprefix("$.") not in needed
    return left_out or isinstance(written, str)


def _is_gptmes(spec: Any) -> bool:
    module = getattr(spec.execute, "__module__", None) or ""
    return not is_mcp(spec) and module.partition(".")[0] == "gptme"


# --- what a call holds, as arguments ------------------------------------------------------


def _arguments(use: ToolUse, spec: Any, tool: ToolDefinition) -> Any:
    """The arguments as gptme will read them; None where only the tool itself knows."""
    if use.kwargs is not None:
        return use.kwargs
    if is_mcp(spec):
        return _object(use.content)
    if spec.name in POSITIONAL:
        return dict(_placed(use, Places.of(tool)))
    return None


def _object(content: str | None) -> Mapping[str, Any] | None:
    try:
        value = json.loads(content or "")
    except (ValueError, RecursionError):
        return None  # gptme says what it wants of it
    return value if isinstance(value, Mapping) else None


def _placed(use: ToolUse, places: Places) -> Iterator[tuple[str, str]]:
    line = _line(use)
    if places.line and line:
        yield places.line[0], line
    body = use.content or ""
    if places.body is not None and (body.strip() or (body and use.tool in _TAKE_BLANKS)):
        yield places.body, body


def _line(use: ToolUse) -> str:
    """What stands on the opening line, without the tool's name that gptme may leave in it."""
    line = " ".join(use.args or ())
    if _format(use) == "markdown" and line.split(" ", 1)[0] == use.tool:
        return line[len(use.tool) :].strip()
    return line.strip()


def _format(use: ToolUse) -> str:
    return str(getattr(use, "_format", None))
