"""What the canaries offer and ask; small, so that small models know what to do."""

from __future__ import annotations

from typing import Any, Final

from gptme_reliability.types import ToolDefinition

WEATHER: Final = "get_weather"
TIMER: Final = "set_timer"
LONGEST_CITY: Final = 3
"""A length that a model keeps to only if it is made to."""

COLOURS: Final = ("vermilion", "ochre")
"""What the answer to a greeting must be; no model says it by itself."""

GREETING: Final = "hello"
COUNTING: Final = "count from 1 to 50"
ONE_CALL: Final = "what is the weather in Paris"
TWO_CALLS: Final = "what is the weather in Paris and set a timer for 5 minutes"
FILLER: Final = "hello"
"""A word that is one token or more."""

ANSWER_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": list(COLOURS)}},
    "required": ["colour"],
    "additionalProperties": False,
}


def _tool(name: str, description: str, **properties: dict[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


_TIMER: Final = _tool(TIMER, "Set a timer.", minutes={"type": "integer"})
OFFER: Final = [_tool(WEATHER, "Look up the weather.", city={"type": "string"}), _TIMER]
"""The tools as they go over the wire."""

NARROW_OFFER: Final = [
    _tool(WEATHER, "Look up the weather.", city={"type": "string", "maxLength": LONGEST_CITY}),
    _TIMER,
]
"""The same with a city that cannot be spelled out."""

TOOLS: Final = tuple(ToolDefinition.from_openai(tool) for tool in OFFER)
