"""One answer of a server, read for the judges."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from gptme_reliability.adapters.openai_response import is_completion, read_response
from gptme_reliability.adapters.openai_stream import StreamReader
from gptme_reliability.adapters.server_errors import error_fault, model_fault
from gptme_reliability.adapters.sse import EventReader
from gptme_reliability.feedback import shorten
from gptme_reliability.prompt_size import as_tokens
from gptme_reliability.types import ModelOutput

Kind: TypeAlias = Literal["answer", "refused", "model", "busy", "lost", "garbage"]
"""What came back.

``answer``: something to judge.  ``refused``: an error about the request.  ``model``: the server
could not read what its model wrote.  ``busy``: an error that says nothing about the request.
``lost``: nothing in time, or the connection broke.  ``garbage``: a success that is no completion.
"""

_LONGEST_SAID: Final = 120
_BUSY: Final = frozenset({408, 409, 425, 429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, by its path from the server's root: a GET where there is no body."""

    path: str
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What came over the wire.

    ``status`` is 0 where nothing came; ``broken`` says that the end of the body is missing.
    """

    status: int
    raw: bytes = b""
    content_type: str = ""
    broken: bool = False

    def json(self) -> Any:
        """The JSON of a success, else None."""
        return _json(self.raw) if self.status == 200 and not self.broken else None


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer.

    ``faults`` are what is wrong with the form of a stream, in words; ``said`` is the message of
    an error, shortened.
    """

    kind: Kind
    status: int = 0
    output: ModelOutput = field(default_factory=ModelOutput)
    usage: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    said: str = ""

    def tokens(self, what: Literal["prompt", "completion"]) -> int | None:
        """How many tokens the server counted; None where it says nothing of them."""
        return as_tokens(self.usage.get(f"{what}_tokens"))


def read(heard: Heard, *, streamed: bool) -> Sample:
    """What was heard, as a sample; never raises."""
    status = heard.status
    if status == 0 or (heard.broken and not streamed):
        return Sample("lost")
    if status >= 400:
        if model_fault(status, heard.raw) is not None:
            return Sample("model", status)
        return Sample("busy" if status in _BUSY else "refused", status, said=_message(heard))
    if streamed:
        return _read_stream(heard)
    body = _json(heard.raw)
    if isinstance(body, Mapping) and body.get("error"):
        if error_fault(body) is not None:
            return Sample("model", status)
        return Sample("refused", status, said=_message(heard))
    if not is_completion(body) or not _has_message(body):
        return Sample("garbage", status)
    usage = body.get("usage")
    found = usage if isinstance(usage, Mapping) else {}
    return Sample("answer", status, read_response(body), found)


def _has_message(body: Mapping[str, Any]) -> bool:
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return isinstance(first, Mapping) and isinstance(first.get("message"), Mapping)


def _message(heard: Heard) -> str:
    """What an error says; nothing where it may quote a key that was sent."""
    if heard.status in (401, 403):
        return ""
    body = _json(heard.raw)
    error = body.get("error", body) if isinstance(body, Mapping) else None
    message = error.get("message") if isinstance(error, Mapping) else error
    return shorten(" ".join(message.split()), _LONGEST_SAID) if isinstance(message, str) else ""


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


# --- streams ------------------------------------------------------------------------------


def _read_stream(heard: Heard) -> Sample:
    reader, events = StreamReader(), EventReader()
    faults: list[str] = []
    done = False
    for event in (*events.feed(heard.raw), *events.close()):
        if event.done:
            done = True
        elif event.data is not None:
            chunk = _json(event.data.encode())
            if not isinstance(chunk, Mapping):
                faults.append("an event that is no JSON object")
            elif not chunk.get("error"):
                reader.feed(chunk)
            elif error_fault(chunk) is not None:
                return Sample("model", heard.status)
            else:
                faults.append("an error in the middle")
    output = reader.output()
    ended = (
        ("not sent as an event stream", "event-stream" not in heard.content_type.lower()),
        ("the connection broke before the end", heard.broken),
        ("no finish reason", reader.finish_reason is None),
        ("no [DONE] at the end", not done),
        (
            "a call without an id, a name or whole arguments",
            not all(map(_whole, output.tool_calls)),
        ),
    )
    faults += [fault for fault, found in ended if found]
    # Each fault counts once, however often it came.
    distinct = tuple(dict.fromkeys(faults))
    return Sample("answer", heard.status, output, reader.usage or {}, distinct)


def _whole(call: Any) -> bool:
    function = call.get("function") if isinstance(call, Mapping) else None
    return (
        isinstance(function, Mapping)
        and isinstance(call.get("id"), str)
        and bool(call["id"])
        and isinstance(function.get("name"), str)
        and bool(function["name"])
        and isinstance(function.get("arguments"), str)
        and isinstance(_json(function["arguments"].encode()), dict)
    )
