"""Small worlds that tools act on: files, a calendar, an inventory, mail, a house, settings.

The tools do what such tools do anywhere: they trust their arguments as Python does, and raise
where the thing itself would not work.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from gptme_reliability.types import ToolDefinition

State: TypeAlias = dict[str, dict[str, Any]]
"""What there is: for each kind of thing, each by its name; kinds with ``_`` are a tool's own."""


class Impossible(Exception):
    """What a tool was asked for cannot be done; nothing was changed."""


@lru_cache(maxsize=1)
def shipped_tools() -> Mapping[str, ToolDefinition]:
    """The tools of the worlds, by name."""
    text = Path(__file__).parents[1].joinpath("fixtures", "tools.json").read_text("utf-8")
    tools = [ToolDefinition.from_openai(entry) for entry in json.loads(text)]
    return {tool.name: tool for tool in tools}


def act(state: State, tool: str, arguments: Mapping[str, Any]) -> Any:
    """Do what a call of a shipped tool says, in ``state``; returns what the model reads.

    Raises:
        Impossible: the thing itself does not work.
        Exception: whatever Python says of such arguments.
    """
    return _TOOLS[tool](state, **arguments)


def _in(state: State, kind: str) -> dict[str, Any]:
    return state.setdefault(kind, {})


def _known(state: State, kind: str, name: Any) -> Any:
    found = _in(state, kind)
    if name not in found:
        raise Impossible(f"there is no {name!r}; there are: {', '.join(sorted(found)) or 'none'}")
    return found[name]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected str, got {type(value).__name__}")
    return value


# --- files --------------------------------------------------------------------------------


def _path(path: Any) -> str:
    return posixpath.normpath(_text(path))


def read_file(state: State, path: str) -> Any:
    return _known(state, "files", _path(path))


def write_file(state: State, path: str, content: str) -> str:
    _in(state, "files")[_path(path)] = _text(content)
    return "written"


def append_file(state: State, path: str, content: str) -> str:
    where = _path(path)
    _in(state, "files")[where] = _in(state, "files").get(where, "") + _text(content)
    return "appended"


def replace_in_file(state: State, path: str, old: str, new: str) -> str:
    content = _known(state, "files", _path(path))
    if content.count(_text(old)) != 1:
        raise Impossible(f"the old text stands there {content.count(old)} times instead of once")
    _in(state, "files")[_path(path)] = content.replace(old, _text(new))
    return "replaced"


def delete_file(state: State, path: str) -> str:
    _known(state, "files", _path(path))
    del _in(state, "files")[_path(path)]
    return "deleted"


def move_file(state: State, source: str, target: str) -> str:
    content = _known(state, "files", _path(source))
    if _path(target) in _in(state, "files"):
        raise Impossible(f"there is a {target!r} already")
    del _in(state, "files")[_path(source)]
    _in(state, "files")[_path(target)] = content
    return "moved"


def list_files(state: State, folder: str = "") -> list[str]:
    inside = "" if _path(folder) == "." else _path(folder) + "/"
    return sorted(name for name in _in(state, "files") if name.startswith(inside))


# --- calendar -----------------------------------------------------------------------------


def list_events(state: State, day: str | None = None) -> dict[str, Any]:
    events = _in(state, "events")
    return {title: event for title, event in events.items() if day in (None, event["day"])}


def add_event(
    state: State, title: str, day: str, hour: int, guests: list[str] | None = None
) -> str:
    if title in _in(state, "events"):
        raise Impossible(f"there is an event {title!r} already")
    event: dict[str, Any] = {"day": day, "hour": hour}
    _in(state, "events")[title] = {**event, "guests": guests} if guests else event
    return "added"


def move_event(state: State, title: str, day: str | None = None, hour: int | None = None) -> str:
    event = dict(_known(state, "events", title))
    changes = {"day": day, "hour": hour}
    given = {key: value for key, value in changes.items() if value is not None}
    _in(state, "events")[title] = {**event, **given}
    return "moved"


def cancel_event(state: State, title: str) -> str:
    _known(state, "events", title)
    del _in(state, "events")[title]
    return "cancelled"


# --- inventory ----------------------------------------------------------------------------


def stock_of(state: State, item: str) -> Any:
    return _known(state, "stock", item)


def set_stock(state: State, item: str, count: int) -> str:
    _known(state, "stock", item)
    _in(state, "stock")[item] = count
    return "set"


def place_order(
    state: State, supplier: str, lines: list[dict[str, Any]], deliver: dict[str, Any] | None = None
) -> str:
    kept = [{"item": line["item"], "count": line["count"]} for line in lines]
    order: dict[str, Any] = {"supplier": supplier, "lines": kept}
    number = str(len(_in(state, "orders")) + 1)
    _in(state, "orders")[number] = {**order, "deliver": deliver} if deliver else order
    return f"order {number} placed"


# --- mail ---------------------------------------------------------------------------------


def find_contact(state: State, name: str) -> Any:
    return _known(state, "contacts", name)


def send_mail(state: State, to: list[str], subject: str, body: str) -> str:
    number = str(len(_in(state, "sent")) + 1)
    _in(state, "sent")[number] = {"to": [*to], "subject": subject, "body": body}
    return f"mail {number} sent"


# --- house, settings, weather, tickets, reports -------------------------------------------


def set_light(state: State, room: str, on: bool, brightness: int | None = None) -> str:
    before = dict(_known(state, "lights", room))
    bright = {} if brightness is None else {"brightness": brightness}
    _in(state, "lights")[room] = {**before, "on": on, **bright}
    return "done"


def set_heating(state: State, room: str, degrees: float) -> str:
    _known(state, "heating", room)
    _in(state, "heating")[room] = degrees
    return "done"


def get_settings(state: State, area: str) -> Any:
    return _known(state, "settings", area)


def change_settings(state: State, area: str, changes: dict[str, Any]) -> str:
    before = _known(state, "settings", area)
    _in(state, "settings")[area] = {**before, **changes}
    return "changed"


def weather(state: State, city: str) -> Any:
    return _known(state, "weather", city)


def open_ticket(
    state: State,
    title: str,
    priority: str,
    labels: list[str] | None = None,
    contact: dict[str, Any] | None = None,
) -> str:
    ticket: dict[str, Any] = {"title": title, "priority": priority}
    ticket.update({"labels": labels} if labels else {})
    ticket.update({"contact": contact} if contact else {})
    number = str(len(_in(state, "tickets")) + 1)
    _in(state, "tickets")[number] = ticket
    return f"ticket {number} opened"


def upload(state: State, path: str) -> str:
    content = _known(state, "files", _path(path))
    if not _in(state, "_tries"):
        _in(state, "_tries")["upload"] = 1
        raise TimeoutError("the server did not answer; try again")
    _in(state, "uploads")[_path(path)] = content
    return "uploaded"


def report(state: State, value: Any) -> str:
    _in(state, "report")["value"] = value
    return "reported"


_FUNCTIONS: Final[tuple[Callable[..., Any], ...]] = (
    *(read_file, write_file, append_file, replace_in_file, delete_file, move_file, list_files),
    *(list_events, add_event, move_event, cancel_event),
    *(stock_of, set_stock, place_order, find_contact, send_mail),
    *(set_light, set_heating, get_settings, change_settings),
    *(weather, open_ticket, upload, report),
)
_TOOLS: Final = {function.__name__: function for function in _FUNCTIONS}
