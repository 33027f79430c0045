"""Calls that go on with a loop, told by the core from the calls and results before."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gptme_reliability.audit.failure import Made
from gptme_reliability.enforce import Judged
from gptme_reliability.loops import stop
from gptme_reliability.past_calls import call_key
from gptme_reliability.types import Call, Policy, ToolDefinition

_MOST: Final = 40
_POLICY: Final = Policy()


class Repeats:
    """The calls since the user last spoke, and whether they are a loop by now."""

    def __init__(self) -> None:
        self._messages: deque[Mapping[str, Any]] = deque(maxlen=_MOST)
        self._latest: deque[str | None] = deque(maxlen=2)
        self._looping = False
        self.tool: str | None = None

    def user_spoke(self) -> None:
        """The user said something: what was done before is no loop any more."""
        self._messages.clear()
        self._latest.clear()
        self._looping = False

    def host_complained(self) -> str | None:
        """The tool of a loop that the host noticed and that was not told yet."""
        known, self._looping = self._looping, True
        return None if known else self.tool or ""

    def begins_loop(self, made: Sequence[Made], tools: Sequence[ToolDefinition]) -> str | None:
        """The tool of these calls where they are the first to go on with a loop; keeps them."""
        looping = any([self._goes_on(one, tools) for one in made if one.name])
        for one in made:
            self._keep(one)
        begins = looping and not self._looping
        if made:
            self._looping = looping
        return made[0].name if begins else None

    def _goes_on(self, one: Made, tools: Sequence[ToolDefinition]) -> bool:
        same = call_key(one.name, dict(one.arguments))
        if same is None or same not in self._latest:
            return False
        judged = [Judged(Call(one.name, one.arguments))]
        return stop(judged, list(self._messages), tools, _POLICY)[0].call is None

    def _keep(self, one: Made) -> None:
        self.tool = one.name or self.tool
        self._latest.append(call_key(one.name, dict(one.arguments)))
        number = str(len(self._messages))
        function = {"name": one.name, "arguments": _written(one.arguments)}
        call = {"id": number, "type": "function", "function": function}
        self._messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        self._messages.append({"role": "tool", "tool_call_id": number, "content": one.result or ""})


def _written(arguments: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(arguments))
    except (TypeError, ValueError, RecursionError):
        return "?"
