"""One attempted call through the stages: validate, repair, resolve, validate again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gptme_reliability.confidence import cost_of_repairs, most_cost
from gptme_reliability.dialects.call_list import FLAT_ARGUMENTS
from gptme_reliability.dialects.json_call import envelope_calls
from gptme_reliability.dialects.python_call import DICT_ARGUMENT
from gptme_reliability.dialects.shapes import Flaw, RawCall
from gptme_reliability.distance import fold, within_one_edit
from gptme_reliability.enforce import Judged, forbidden
from gptme_reliability.feedback import shorten
from gptme_reliability.repair.arguments import coerce, fill, unwrap
from gptme_reliability.repair.reading import child_path
from gptme_reliability.repair.typed import type_values
from gptme_reliability.resolve import (
    Resolved,
    members,
    near_declared,
    properties,
    required,
    resolve_parameters,
    resolve_tool,
    restricts,
)
from gptme_reliability.types import (
    Attempted,
    Call,
    Policy,
    RefusedCall,
    Repair,
    ToolDefinition,
    Violation,
)
from gptme_reliability.validate import validate

_PLACE: Final = frozenset({"echo", "unclear", "unfinished_reasoning"})
"""Rules of flaws that are about where a call stands."""


def settle(
    raw: RawCall,
    tools: Sequence[ToolDefinition],
    policy: Policy,
    index: int,
    dialect: str | None = None,
    written: str = "",
) -> Judged:
    """Bring one attempted call to a call that may run, or to its violations.

    ``index`` is its position among the attempts, ``written`` how it stood in the text.
    """
    attempt = _Attempt(raw, tools, policy, index, dialect, written)
    return attempt.settle()


class _Attempt:
    def __init__(
        self,
        raw: RawCall,
        tools: Sequence[ToolDefinition],
        policy: Policy,
        index: int,
        dialect: str | None,
        written: str,
    ) -> None:
        self._raw = raw
        self._tools = tools
        self._policy = policy
        self._index = index
        self._dialect = dialect
        self._written = written
        self._repairs: list[Repair] = []

    def settle(self) -> Judged:
        raw = self._raw
        self._note(raw.repairs)
        if raw.name is None:
            flaw = raw.flaw or Flaw("missing_name", "the call names no tool")
            (violation,) = self._about_names(flaw.rule, flaw.message)
            violations = [replace(violation, written=flaw.written)]
            return self._refuse(None, violations, self._attempted(None, None))
        tool = self._tool(raw.name)
        if tool is None:
            message = f"there is no tool {shorten(raw.name)!r}"
            violations = self._about_names("unknown_tool", message, raw.name)
            return self._refuse(None, violations, self._attempted(None, raw.arguments))
        if raw.flaw is not None:
            violation = self._violation(raw.flaw.rule, raw.flaw.message, tool)
            violations = [replace(violation, written=raw.flaw.written)]
            return self._refuse(tool, violations, self._attempted(tool, None))
        arguments = self._positional(raw, tool)
        if arguments is None:
            message = "arguments must be given by name"
            violations = [self._violation("positional", message, tool)]
            return self._refuse(tool, violations, self._attempted(tool, None))
        if raw.has(FLAT_ARGUMENTS) and not set(arguments) <= set(properties(tool)):
            message = "the call has no 'arguments' object"
            violations = [self._violation("envelope", message, tool)]
            return self._refuse(tool, violations, self._attempted(tool, arguments))
        if raw.untyped:
            arguments = self._typed(arguments, tool)
        violations = validate(arguments, tool, self._index)
        if violations:
            arguments = self._object_in(arguments, tool)
        if violations and isinstance(arguments, Mapping):
            arguments = self._repair(arguments, tool)
            violations = validate(arguments, tool, self._index)
            violations = [_explained(violation) for violation in violations]
        prohibited = self._against_policy(tool)
        if violations or prohibited:
            kept = self._without_prohibited(raw) if prohibited else arguments
            return self._refuse(tool, [*violations, *prohibited], self._attempted(tool, kept))
        call = Call(tool.name, arguments, raw.id, self._dialect)
        return Judged(call, repairs=tuple(self._repairs))

    # --- steps ------------------------------------------------------------------------

    def _tool(self, name: str) -> ToolDefinition | None:
        for tool in self._tools:
            if tool.name == name:
                return tool
        if not self._policy.resolve:
            return None
        found = resolve_tool(name, self._raw.arguments, self._tools, aliases=self._policy.aliases)
        if found is None:
            return None
        self._note([Repair(found.rule, "$", name, found.name, found.kind)])
        return next(tool for tool in self._tools if tool.name == found.name)

    def _positional(self, raw: RawCall, tool: ToolDefinition) -> Any:
        """The arguments with those unnamed under their names.

        A single one has the only name it can have; several have those of the schema, in its
        order, where their types agree with it.
        """
        if not raw.positional:
            return raw.arguments
        free = [name for name in required(tool) if name not in raw.arguments]
        if len(raw.positional) == 1 and len(free) == 1 and not raw.arguments:
            names = free
        else:
            names = list(properties(tool))[: len(raw.positional)]
            if len(names) < len(raw.positional) or set(names) & set(raw.arguments):
                return None
            if validate(self._named(names), tool):
                return None
        self._note(Repair("positional", child_path("$", n), None, n, "inferred") for n in names)
        return self._named(names)

    def _named(self, names: Sequence[str]) -> dict[str, Any]:
        """The arguments, those without a name under these names."""
        return {**dict(zip(names, self._raw.positional, strict=True)), **self._raw.arguments}

    def _typed(self, arguments: Mapping[str, Any], tool: ToolDefinition) -> dict[str, Any]:
        """Bare texts between tags with the types that the tool's schema gives them."""
        renames = self._renames(arguments, tool)
        names = {key: found.name for key, found in renames.items()}
        typed, notes = type_values(arguments, tool.parameters, names)
        self._note(notes)
        typed, notes = unwrap(typed, tool.parameters)
        self._note(notes)
        return typed

    def _object_in(self, arguments: Any, tool: ToolDefinition) -> Any:
        """The arguments out of a list of one, or out of a whole call repeated inside."""
        if isinstance(arguments, list) and len(arguments) == 1:
            self._note([Repair("list_of_one", "$", "[…]", "$[0]", "inferred")])
            arguments = arguments[0]
        if isinstance(arguments, Mapping) and not set(arguments) & set(properties(tool)):
            inner = envelope_calls(arguments)
            if inner and len(inner) == 1 and inner[0].name == tool.name and not inner[0].flaw:
                self._note([Repair("nested_call", "$", tool.name, "$", "inferred")])
                self._note(inner[0].repairs)
                return inner[0].arguments
            if self._raw.has(DICT_ARGUMENT):
                return self._only_object(arguments, tool)
        return arguments

    def _only_object(self, arguments: Mapping[str, Any], tool: ToolDefinition) -> Any:
        """``f({…})`` where the object is the value of the only required parameter."""
        names = required(tool)
        if len(names) != 1 or validate({names[0]: arguments}, tool):
            return arguments
        self._note([Repair("positional", child_path("$", names[0]), None, names[0], "inferred")])
        return {names[0]: arguments}

    def _repair(self, arguments: Mapping[str, Any], tool: ToolDefinition) -> dict[str, Any]:
        """The repairs that the schema guides, mildest first."""
        arguments, notes = unwrap(arguments, tool.parameters)
        self._note(notes)
        arguments = self._rename(arguments, tool)
        arguments, notes = coerce(arguments, tool.parameters)
        self._note(notes)
        arguments, notes = fill(arguments, tool.parameters)
        self._note(notes)
        return self._without_extras(arguments, tool)

    def _renames(self, arguments: Mapping[str, Any], tool: ToolDefinition) -> dict[str, Resolved]:
        if not self._policy.resolve:
            return {}
        return resolve_parameters(arguments, tool)

    def _rename(self, arguments: Mapping[str, Any], tool: ToolDefinition) -> dict[str, Any]:
        renames = self._renames(arguments, tool)
        if not self._policy.aliases:
            renames = {k: r for k, r in renames.items() if r.rule != "parameter_alias"}
        self._note(
            Repair(found.rule, child_path("$", found.name), key, found.name, found.kind)
            for key, found in renames.items()
        )
        return {renames[k].name if k in renames else k: v for k, v in arguments.items()}

    def _without_extras(self, arguments: dict[str, Any], tool: ToolDefinition) -> dict[str, Any]:
        """Drop arguments that mean nothing to the tool, when nothing is missing without them."""
        if tool.parameters.get("additionalProperties") is not False:
            return arguments
        declared = properties(tool)
        extras = [key for key in arguments if key not in declared]
        complete = all(name in arguments for name in required(tool))
        if not extras or not complete or len(extras) == len(arguments):
            return arguments
        if any(near_declared(key, declared) or restricts(key, arguments[key]) for key in extras):
            return arguments
        if {fold(key) for key in extras} & {fold(name) for name in members(tool)}:
            return arguments
        self._note(
            Repair("extra_argument", child_path("$", k), arguments[k], None, "inferred")
            for k in extras
        )
        return {key: value for key, value in arguments.items() if key in declared}

    # --- records ----------------------------------------------------------------------

    def _note(self, repairs: Any) -> None:
        self._repairs.extend(
            Repair(r.rule, r.path, r.before, r.after, r.kind, self._index) for r in repairs
        )

    def _violation(self, rule: str, message: str, tool: ToolDefinition | None) -> Violation:
        name = tool.name if tool else self._raw.name
        return Violation(rule, "$", message, tool=name, call=self._index)

    def _about_names(self, rule: str, message: str, written: str | None = None) -> list[Violation]:
        names = [tool.name for tool in self._tools]
        near = [n for n in names if written and within_one_edit(n.lower(), written.lower())]
        if near:
            message += f"; did you mean {near[0]!r}?"
        return [Violation(rule, "$", message, None, names, call=self._index)]

    def _against_policy(self, tool: ToolDefinition) -> list[Violation]:
        return [
            self._violation("policy", f"would need a {r.kind} repair ({r.rule})", tool)
            for r in forbidden(self._repairs, self._policy)[:1]
        ]

    def _attempted(self, tool: ToolDefinition | None, arguments: Any) -> Attempted | None:
        """What can be corrected: nothing, where the call's place is in doubt and not its form, or
        where more had to be guessed than may run."""
        if self._raw.flaw is not None and self._raw.flaw.rule in _PLACE:
            return None
        if tool and cost_of_repairs(self._repairs) > most_cost(tool, self._policy):
            return None
        read = arguments if isinstance(arguments, Mapping) else None
        return Attempted(tool.name if tool else None, read, self._index)

    def _without_prohibited(self, raw: RawCall) -> Any:
        """The arguments as they were read, unless the policy forbids how."""
        return None if forbidden(raw.repairs, self._policy) else raw.arguments

    def _refuse(
        self,
        tool: ToolDefinition | None,
        violations: Sequence[Violation],
        attempted: Attempted | None,
    ) -> Judged:
        name = tool.name if tool else self._raw.name
        reason = "; ".join(dict.fromkeys(violation.message for violation in violations))
        refused = RefusedCall(name, reason, shorten(self._written), self._raw.id, self._dialect)
        return Judged(None, tuple(violations), refused=refused, attempted=attempted)


def _explained(violation: Violation) -> Violation:
    """An unknown argument that resembles a declared one: say which."""
    if violation.rule != "unknown_argument":
        return violation
    # Only the names of the object that holds it: those of another one would mislead.
    path = violation.path
    key = path.rpartition('["' if path.endswith('"]') else ".")[2]
    near = near_declared(key, violation.allowed)
    if near is None:
        return violation
    return replace(violation, message=f"{violation.message}; did you mean {near!r}?")
