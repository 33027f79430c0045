"""Python functions as tools: a definition from the signature, arguments for the function.

pydantic writes the schemas and builds the arguments, so that whatever it knows (models,
dataclasses, enums, dates, ``Annotated`` …) may stand in a signature.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Optional, TypeAlias, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from gptme_reliability.errors import ToolDefinitionError
from gptme_reliability.surfaces.docstrings import read_docstring
from gptme_reliability.types import ToolDefinition
from gptme_reliability.validate import json_path

_UNNAMED: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_TOLD_BY_DEFAULT: Final = (bool, int, float, str, list, dict)


@dataclass(frozen=True, slots=True)
class PythonTool:
    """A function that a model may call; made by ``python_tool``.

    ``timeout`` is in seconds, None for that of the run.  ``built`` is the pydantic model that
    arguments go through, None for a function that came with a definition of its own.
    """

    definition: ToolDefinition
    function: Callable[..., Any]
    timeout: float | None = None
    built: type[BaseModel] | None = None

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        called = getattr(self.function, "__call__", None)  # noqa: B004  # of a callable object
        return inspect.iscoroutinefunction(self.function) or inspect.iscoroutinefunction(called)

    def invoke(self, arguments: Mapping[str, Any]) -> Any:
        """Call the function with arguments that satisfy the definition's schema.

        What was not given is left to the function's own defaults.

        Raises:
            ValueError: pydantic refuses what no JSON schema can express (a date that is none).
            Exception: whatever the function raises.
        """
        own = deepcopy(dict(arguments))  # the function may change them, the record stays
        if self.built is None:
            return self.function(**own)
        bound = inspect.signature(self.function).bind_partial()
        bound.arguments.update(_build(self.built, own))
        bound.apply_defaults()
        return self.function(*bound.args, **bound.kwargs)


ToolEntry: TypeAlias = (
    Callable[..., Any] | PythonTool | tuple[ToolDefinition | Mapping[str, Any], Callable[..., Any]]
)
"""A function, one with settings, or one with a definition written by hand."""


def python_tool(
    function: Callable[..., Any],
    definition: ToolDefinition | Mapping[str, Any] | None = None,
    *,
    read_only: bool | None = None,
    timeout: float | None = None,
) -> PythonTool:
    """A function as a tool.

    Without a ``definition`` (ours, or an OpenAI tool object) it is read from the function: its
    name, the parameters with type hints and defaults, the docstring (Google, NumPy or Sphinx
    style).  ``*args`` and ``**kwargs`` stay empty.  With one, the arguments go to the function
    as they are, by name.
    ``read_only`` says whether it changes nothing; ``timeout`` is in seconds.

    Raises:
        ToolDefinitionError: the function cannot be read as a tool; the message says why.
    """
    if not callable(function):
        raise ToolDefinitionError(f"a tool must be a function, not {type(function).__name__}")
    built = None
    if definition is None:
        definition, built = _read(function)
    elif not isinstance(definition, ToolDefinition):
        definition = ToolDefinition.from_openai(definition)
    if read_only is not None:
        definition = replace(definition, read_only=read_only)
    return PythonTool(definition, function, timeout, built)


def python_tools(entries: Iterable[ToolEntry]) -> dict[str, PythonTool]:
    """Tools by their names.

    Raises:
        ToolDefinitionError: an entry is no tool, or two have one name.
    """
    tools: dict[str, PythonTool] = {}
    for entry in entries:
        if isinstance(entry, tuple):
            definition, function = entry
            tool = python_tool(function, definition)
        else:
            tool = entry if isinstance(entry, PythonTool) else python_tool(entry)
        name = tool.definition.name
        if name in tools:
            raise ToolDefinitionError(f"two tools have the name {name!r}")
        tools[name] = tool
    return tools


def _read(function: Callable[..., Any]) -> tuple[ToolDefinition, type[BaseModel]]:
    name = getattr(function, "__name__", "")
    if not name.isidentifier():
        what = name or type(function).__name__
        raise ToolDefinitionError(f"{what} has no name a model could call; give a ToolDefinition")
    try:
        signature = inspect.signature(function, eval_str=True)
    except Exception as error:  # annotations are evaluated here: anything may come out of it
        raise ToolDefinitionError(f"tool {name!r}: its signature cannot be read: {error}") from None
    docstring = read_docstring(function.__doc__)
    named = [p for p in signature.parameters.values() if p.kind not in _UNNAMED]
    if signature.parameters and not named:
        raise ToolDefinitionError(f"tool {name!r} names no parameters; give a ToolDefinition")
    # Parameters may have names that no field may have, so that they come in as aliases.
    fields: dict[str, Any] = {
        f"field_{index}": _field(parameter, docstring.parameters.get(parameter.name))
        for index, parameter in enumerate(named)
    }
    try:
        built = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
        schema = built.model_json_schema(schema_generator=_PlainSchema)
    except (PydanticUserError, TypeError, NameError) as error:
        reason = str(error).splitlines()[0]
        raise ToolDefinitionError(f"tool {name!r}: a parameter has no schema: {reason}") from None
    return ToolDefinition(name, _without_references(schema), docstring.description), built


def _field(parameter: inspect.Parameter, description: str | None) -> tuple[Any, Any]:
    """A parameter as a field of a pydantic model."""
    annotation, default = parameter.annotation, parameter.default
    if annotation is parameter.empty:
        annotation = type(default) if isinstance(default, _TOLD_BY_DEFAULT) else Any
    if get_origin(annotation) is Annotated:
        said = (_description(note) for note in annotation.__metadata__)
        description = next(filter(None, said), description)
    if default is None and annotation is not Any:
        annotation = Optional[annotation]  # noqa: UP045  # unlike "|" it takes any annotation
    given = ... if default is parameter.empty else default
    return annotation, Field(given, alias=parameter.name, description=description)


def _description(note: Any) -> str | None:
    if isinstance(note, FieldInfo):
        return note.description
    return note if isinstance(note, str) else None


class _PlainSchema(GenerateJsonSchema):
    """Without titles, which only repeat names, and silent about defaults that are no JSON."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _without_references(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with everything in its place; only what holds itself stays a reference.

    Small models follow no references, and neither do the grammars of all servers.
    """
    definitions: Mapping[str, Any] = schema.get("$defs", {})
    kept: set[str] = set()

    def placed(value: Any, inside: tuple[str, ...]) -> Any:
        if isinstance(value, list):
            return [placed(item, inside) for item in value]
        if not isinstance(value, dict):
            return value
        name = _referred(value)
        if name is None or name not in definitions:
            return {key: placed(member, inside) for key, member in value.items()}
        if name in inside:
            kept.add(name)
            return value
        meant = {key: member for key, member in definitions[name].items() if key != "title"}
        beside = {key: member for key, member in value.items() if key != "$ref"}
        return placed({**meant, **beside}, (*inside, name))

    body = {key: placed(schema[key], ()) for key in schema if key not in ("$defs", "title")}
    if kept:
        body["$defs"] = definitions
    return body


def _referred(schema: Mapping[str, Any]) -> str | None:
    reference = schema.get("$ref")
    return reference.removeprefix("#/$defs/") if isinstance(reference, str) else None


def _build(model: type[BaseModel], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What pydantic makes of the arguments, by the names of the parameters."""
    try:
        made = model.model_validate(arguments)
    except ValidationError as error:
        told = "; ".join(f"{json_path(f['loc'])}: {f['msg']}" for f in error.errors())
        raise ValueError(told) from None
    return {
        str(info.alias): getattr(made, field)
        for field, info in model.model_fields.items()
        if field in made.model_fields_set
    }
