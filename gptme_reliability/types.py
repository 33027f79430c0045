"""The values that cross module boundaries.

Everything here is frozen and compares by content; behaviour lives in functions.
This module imports nothing of ours but what stands beside it at the bottom, so that every other
module may import it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, get_args

from gptme_reliability.errors import ToolDefinitionError
from gptme_reliability.fitting import (
    AMOUNT,
    COUNT,
    FLAG,
    Kind,
    instance_of,
    one_of,
    or_none,
    refuse_unfit,
    set_of,
    tuple_of,
)
from gptme_reliability.schemas import as_meant

RepairKind: TypeAlias = Literal["lossless", "inferred", "lossy", "presentation"]
"""What a change does to the meaning.

``lossless``: same meaning, other spelling.
``inferred``: the schema and the text leave exactly one reading.
``lossy``: something was guessed or left out; never runs by default.
``presentation``: text was made inert for the host, its meaning unchanged.
"""

Partial: TypeAlias = Literal["stand", "hold"]
"""``stand``: good calls run as far as order allows, the rest is asked for afterwards;
``hold``: all or none."""

Failed: TypeAlias = Literal["keep", "rewind"]
"""``keep``: the model sees its failed attempts while it is asked again; ``rewind``: it does not."""

Rung: TypeAlias = Literal["re_ask", "resample", "force", "structure", "prompt", "native"]
"""How a model is asked again, from the mildest way to the last.

``re_ask``: told what was wrong.
``resample``: with another temperature and seed besides.
``force``: with ``tool_choice: "required"``, a tool for talking on offer.
``structure``: with an answer held to the JSON schema of the calls, the tools in the prompt.
``prompt``: with the tools in the prompt in the family's dialect, for a server without tools.
``native``: with the tools as such after all, where they are told in words by configuration.
"""

ALL_RUNGS: Final[tuple[Rung, ...]] = get_args(Rung)
RUNGS: Final = tuple(rung for rung in ALL_RUNGS if rung != "native")
"""Those that are gone unless the policy names others: who says that a server takes no tools is
believed."""

Structured: TypeAlias = Literal["response_format", "json_schema", "structured_outputs", "format"]
"""Under which key a server takes the JSON schema of an answer: OpenAI's, llama.cpp's, vLLM's,
Ollama's."""

Layout: TypeAlias = Literal["positional", "json", "body", "free"]
"""What the body of a call in a host's text format holds.

``positional``: the last required argument, those before it stand on the opening line.
``json``: all arguments as one JSON object.
``body``: whatever the tool itself reads from it, but not nothing.
``free``: whatever the tool itself reads from it; nothing about it can be checked.
"""

Language: TypeAlias = Literal["en", "zh"]
"""The languages in which a model can be told what was wrong."""


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """A tool on offer: its name, what it is for, and the JSON schema of its arguments.

    ``read_only`` is True for a tool that changes nothing, False for one that writes or
    runs, None when nobody said.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})
    description: str = ""
    read_only: bool | None = None

    @classmethod
    def from_openai(cls, tool: Mapping[str, Any]) -> ToolDefinition:
        """Read one entry of an OpenAI ``tools`` list; the bare ``function`` object is fine too.

        Parameters that are no right JSON schema are read as they are meant, see ``schemas``.
        ``annotations.readOnlyHint``, which MCP servers give, says whether the tool only reads.

        Raises:
            ToolDefinitionError: the entry has no usable name, or its parameters are no schema.
        """
        if not isinstance(tool, Mapping):
            raise ToolDefinitionError(f"a tool must be an object, not {type(tool).__name__}")
        function = tool.get("function", tool)
        if not isinstance(function, Mapping):
            raise ToolDefinitionError("a tool's 'function' must be an object")
        name = function.get("name")
        if not isinstance(name, str) or not name:
            raise ToolDefinitionError("a tool needs a 'name' that is a non-empty string")
        parameters, _ = as_meant(function.get("parameters"))
        if not isinstance(parameters, Mapping):
            raise ToolDefinitionError(f"tool {name!r}: 'parameters' must be a JSON schema object")
        description = function.get("description")
        return cls(
            name=name,
            parameters=parameters,
            description=description if isinstance(description, str) else "",
            read_only=_read_only_hint(tool, function),
        )


def _read_only_hint(*places: Mapping[str, Any]) -> bool | None:
    for place in places:
        annotations = place.get("annotations")
        hint = annotations.get("readOnlyHint") if isinstance(annotations, Mapping) else None
        if isinstance(hint, bool):
            return hint
    return None


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """What a model wrote, as the server delivered it.

    ``tool_calls`` holds OpenAI-shaped call objects exactly as received, however broken:
    ``{"id": …, "type": "function", "function": {"name": …, "arguments": …}}``.
    ``finish_reason`` is the server's word; None and unknown words count as unknown.
    """

    text: str | None = None
    tool_calls: Sequence[Any] = ()
    reasoning: str | None = None
    finish_reason: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call that may run: an offered tool, arguments that satisfy its schema.

    ``dialect`` is None for a native call, else the id of the dialect it was written in.
    """

    name: str
    arguments: Mapping[str, Any]
    id: str | None = None
    dialect: str | None = None


@dataclass(frozen=True, slots=True)
class Repair:
    """One change: the rule that made it, where, and what stood there before and after.

    ``path`` is a JSONPath such as ``$.lines[0]``; ``call`` is the position of the call among
    the attempted ones, None when the change is not about one call.
    """

    rule: str
    path: str
    before: Any
    after: Any
    kind: RepairKind
    call: int | None = None


@dataclass(frozen=True, slots=True)
class Violation:
    """One fault that was not repaired.

    ``rule`` is a short id (``unknown_tool``, ``missing``, ``type``, ``cut_off`` …);
    ``message`` says the fault in one sentence; ``written`` is what the model wrote there;
    ``allowed`` what would have been right. ``tool`` is the name as far as it is known.
    """

    rule: str
    path: str
    message: str
    written: Any = None
    allowed: Any = None
    tool: str | None = None
    call: int | None = None


@dataclass(frozen=True, slots=True)
class RefusedCall:
    """An attempted call that does not run, the reason, and how it was written (shortened).

    ``id`` is the native call id when there was a usable one; ``dialect`` is as in ``Call``.
    """

    name: str | None
    reason: str
    written: str = ""
    id: str | None = None
    dialect: str | None = None


@dataclass(frozen=True, slots=True)
class Attempted:
    """A call as a model tried to make it, for asking it to correct only what was wrong.

    ``name`` and ``arguments`` are None where they could not be read; ``arguments`` have the
    repairs of values that were possible.  ``call`` is its position as in ``Violation``.
    """

    name: str | None
    arguments: Mapping[str, Any] | None = None
    call: int | None = None


@dataclass(frozen=True, slots=True)
class Accept:
    """The answer may go to the host: these calls run, this is its text.

    For a host with a text format the calls stand in the text, ``written`` as they stand there;
    the same for ``Retry`` and ``Reject``.
    """

    calls: tuple[Call, ...] = ()
    text: str = ""
    repairs: tuple[Repair, ...] = ()
    refused: tuple[RefusedCall, ...] = ()
    written: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the host must get something else than the bytes the model wrote."""
        return bool(self.repairs or self.refused or any(c.dialect is not None for c in self.calls))


@dataclass(frozen=True, slots=True)
class Retry:
    """The model should be asked again; ``calls`` are those that stand whatever happens next.

    ``attempted`` are those to be written again, none where it is not their form that is wrong.
    """

    feedback: str
    violations: tuple[Violation, ...]
    calls: tuple[Call, ...] = ()
    text: str = ""
    repairs: tuple[Repair, ...] = ()
    refused: tuple[RefusedCall, ...] = ()
    written: tuple[str, ...] = ()
    attempted: tuple[Attempted, ...] = ()


@dataclass(frozen=True, slots=True)
class Reject:
    """Nothing more can be done: ``reason`` says why, ``calls`` are those that stand."""

    reason: str
    violations: tuple[Violation, ...]
    calls: tuple[Call, ...] = ()
    text: str = ""
    repairs: tuple[Repair, ...] = ()
    refused: tuple[RefusedCall, ...] = ()
    written: tuple[str, ...] = ()


Verdict: TypeAlias = Accept | Retry | Reject


@dataclass(frozen=True, slots=True)
class Prerequisite:
    """``tool`` may only be called after ``needs`` was.

    ``same`` names an argument that both take: then only a call of ``needs`` with an equal value
    counts (equal as JSON, so ``./a`` is not ``a``), unless the call of ``tool`` leaves it out.
    """

    tool: str
    needs: str
    same: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """Which calls must come before which.

    A call of a ``terminal`` tool may only run after every ``required`` tool was called with
    success; behind it nothing of the same answer runs.  ``before`` holds the prerequisites of
    single tools.  ``order.py`` says which calls count.
    """

    required: tuple[str, ...] = ()
    terminal: tuple[str, ...] = ()
    before: tuple[Prerequisite, ...] = ()


_POLICY: Final[Mapping[str, Kind]] = {
    "allow": set_of(get_args(RepairKind)),
    "partial": one_of(get_args(Partial)),
    "retries": COUNT,
    "max_added_tokens": or_none(COUNT),
    "max_added_seconds": or_none(AMOUNT),
    "backoff": AMOUNT,
    "loops": COUNT,
    "resolve": FLAG,
    "aliases": FLAG,
    "max_calls": COUNT,
    "max_chars": COUNT,
    "max_cost_reading": COUNT,
    "max_cost_writing": COUNT,
    "echo_guard": FLAG,
    "failed": one_of(get_args(Failed)),
    "feedback_chars": COUNT,
    "language": one_of(get_args(Language)),
    "rungs": tuple_of(ALL_RUNGS),
    "respond": or_none(FLAG),
    "force": or_none(FLAG),
    "order": or_none(instance_of(Order)),
}


@dataclass(frozen=True, slots=True)
class Policy:
    """What the user allows.

    ``allow`` names the classes of repairs that may run; ``presentation`` always may.
    ``partial`` says what becomes of the good calls of an answer with a faulty one.  With
    ``stand`` they run now, and the rest is asked for with their results in view.  Behind a faulty
    call a call of a tool that is known to write or run (``read_only`` False) waits, with all
    behind it, and is asked for again: it may build on what the faulty one would have done.  It
    does not wait where the faulty one only reads.
    ``resolve`` lets names of tools and arguments that are not quite those on offer stand for
    them; ``aliases`` lets other words do so too.
    ``retries`` is the number of re-asks of one request, however often the host sends it;
    ``max_added_tokens`` and ``max_added_seconds`` bound what they may cost, None for no bound.
    ``backoff`` is how many seconds pass before the second re-ask; it doubles from there on.
    ``loops`` is how often the same call may bring the same result before it is asked about; 0
    turns that off.
    ``max_calls`` caps the calls of one answer, ``max_chars`` the characters of it that are
    read for calls; what exceeds them is refused, visibly.
    ``max_cost_reading`` and ``max_cost_writing`` say how much guessing may stand behind a call
    that runs, of a tool that only reads and of any other; ``confidence.py`` has the prices.
    ``echo_guard`` asks about a call in a foreign dialect that stood, the same, in a tool result
    or in a quoted part of a user's message.
    ``order`` is the order in which tools must be called; None for any.
    ``failed`` says whether the model sees what it is asked to mend, ``feedback_chars`` how many
    characters it is told about it at most, and ``language`` in which language.
    ``rungs`` are the ways in which it may be asked again.  ``respond`` offers it a tool for
    talking, None to do so for models known to be small.
    ``force`` lets it be made to call or to talk through that tool: True always, None when asking
    did not help, False never.

    Raises:
        ValueError: a value is none of its field; one line says which are.
    """

    allow: frozenset[RepairKind] = frozenset({"lossless", "inferred"})
    partial: Partial = "stand"
    retries: int = 3
    max_added_tokens: int | None = None
    max_added_seconds: int | None = None
    backoff: float = 0.2
    loops: int = 3
    resolve: bool = True
    aliases: bool = True
    max_calls: int = 64
    max_chars: int = 8_000_000
    max_cost_reading: int = 10
    max_cost_writing: int = 5
    echo_guard: bool = True
    failed: Failed = "keep"
    feedback_chars: int = 2_000
    language: Language = "en"
    rungs: tuple[Rung, ...] = RUNGS
    respond: bool | None = None
    force: bool | None = None
    order: Order | None = None

    def __post_init__(self) -> None:
        """Refuse what would fail, or count as something else, far from here."""
        refuse_unfit(self, _POLICY)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model and of the server it runs on; None means unknown.

    ``size_b`` is in billions of parameters.  ``native_tools``, ``tool_choice`` and
    ``response_format`` say whether the server does what a request with them asks for;
    ``structured`` is the key under which it takes a schema, if not OpenAI's.
    ``temperature`` is the lowest and the highest that the model is to run with.
    ``dialect`` is the one that it writes calls in when the tools are told in words, whatever its
    family.
    """

    family: str | None = None
    size_b: float | None = None
    quant: str | None = None
    mode: str | None = None
    native_tools: bool | None = None
    tool_choice: bool | None = None
    response_format: bool | None = None
    source: str | None = None
    structured: Structured | None = None
    temperature: tuple[float, float] | None = None
    dialect: str | None = None


@dataclass(frozen=True, slots=True)
class HostFormat:
    """How a host wants calls in the text of an answer, where it uses no native ones.

    ``blocks`` are the tags that it runs and the tools they stand for; ``layouts`` says of tools
    what their calls hold, those that are not named are ``free``.  A ``strict`` host reads no call
    of an answer in which anything is no well-formed XML.
    """

    form: Literal["markdown", "xml"]
    blocks: Mapping[str, str]
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    strict: bool = False

    @property
    def dialect(self) -> str:
        """The id of the dialect that the host reads."""
        return f"gptme_{self.form}"


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A request for a model, independent of the wire.

    ``messages`` are OpenAI chat messages; ``params`` is the rest of the request's body,
    untouched.  ``wait_s`` is how many seconds whoever sends it should let pass before.
    ``host`` is set where calls are expected in the text; the tools are not sent then.
    """

    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[ToolDefinition, ...] = ()
    model: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    wait_s: float = 0.0
    host: HostFormat | None = None
