"""The schema of the settings, and one clear line for what does not fit it.

They stand under ``[plugin.reliability]`` in gptme's config and under ``[reliability]`` in the
proxy's; the keys are the same.
"""

from __future__ import annotations

import difflib
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gptme_reliability.errors import ConfigError
from gptme_reliability.types import RUNGS, Rung, Structured


class Strict(BaseModel):
    """A table that takes no unknown keys and converts no types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class PrerequisiteSection(Strict):
    """One row of ``policy.order.before``."""

    tool: str
    needs: str
    same: str | None = None


class OrderSection(Strict):
    """In which order tools must be called."""

    required: list[str] = Field(default_factory=list)
    terminal: list[str] = Field(default_factory=list)
    before: list[PrerequisiteSection] = Field(default_factory=list)


class PolicySection(Strict):
    """What the user allows; None is unset, here and below."""

    allow: list[Literal["lossless", "inferred", "lossy"]] | None = None
    partial: Literal["stand", "hold"] | None = None
    aliases: bool | None = None
    max_cost_reading: int | None = Field(default=None, ge=0, le=1000)
    max_cost_writing: int | None = Field(default=None, ge=0, le=1000)
    max_added_tokens: int | None = Field(default=None, ge=0)
    max_added_seconds: int | None = Field(default=None, ge=0)
    backoff: float | None = Field(default=None, ge=0, le=60, strict=False, allow_inf_nan=False)
    loops: int | None = Field(default=None, ge=0, le=40)
    failed: Literal["keep", "rewind"] | None = None
    feedback_chars: int | None = Field(default=None, ge=200, le=100_000)
    language: Literal["en", "zh"] | None = None
    rungs: list[Rung] | None = None
    order: OrderSection | None = None


class CommonSection(Strict):
    """The keys that may stand in general and for single models."""

    enabled: bool | None = None
    mode: Literal["on", "observe"] | None = None
    retries: int | None = Field(default=None, ge=0, le=10)
    policy: PolicySection | None = None
    trace: Literal["off", "on", "full"] | None = None
    notice: bool | None = None
    contracts: bool | None = None
    unknown: Literal["refuse", "warn"] | None = None
    respond: bool | None = None
    force: bool | None = None
    echo_guard: bool | None = None
    lessons: bool | Literal["small"] | None = None


class ModelSection(CommonSection):
    """The keys for the models that a glob matches, with facts that describe them."""

    family: str | None = None
    size_b: float | None = Field(default=None, gt=0, strict=False)
    quant: str | None = None
    native_tools: bool | None = None
    tool_choice: bool | None = None
    response_format: bool | None = None
    structured: Structured | None = None
    thinks: bool | None = None
    sampling: dict[str, float] | None = None


class Section(CommonSection):
    """All of the settings."""

    models: dict[str, ModelSection] = Field(default_factory=dict)


_POLICY_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "allow": ("lossless", "inferred", "lossy"),
    "partial": ("stand", "hold"),
    "rungs": RUNGS,
}

_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "mode": ("on", "observe"),
    "trace": ("off", "on", "full"),
    "unknown": ("refuse", "warn"),
    "lessons": ("true", "false", "small"),
}

_INNER: Final[dict[str, type[Strict]]] = {
    "policy": PolicySection,
    "order": OrderSection,
    "before": PrerequisiteSection,
}

FACT_KEYS: Final = frozenset(ModelSection.model_fields) - frozenset(CommonSection.model_fields)
"""Keys of a model's section that describe the model instead of setting something."""


def checked(raw: Any, where: str, table: str) -> Section:
    """Check the settings under ``table`` of the file ``where``.

    Raises:
        ConfigError: it does not fit; one line says what, and what is near.
    """
    try:
        return Section.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_explain(error, where, table)) from None


def _explain(error: ValidationError, where: str, table: str) -> str:
    """One line on the first fault: where it stands, what is wrong, what is near."""
    fault = error.errors()[0]
    # pydantic appends the tried member of a union; those are no keys.
    path = [
        str(part)
        for part in fault["loc"]
        if part not in ("bool", "str", "int", "float") and not str(part).startswith("literal[")
    ]
    if not path:
        return f"{where}: [{table}] must be a table"
    *parents, name = path
    in_model = len(parents) > 1 and parents[0] == "models"
    section = f'{table}.models."{parents[1]}"' if in_model else table
    inner = parents[2:] if in_model else parents
    key = ".".join([*inner, name])
    place = f"{where}: [{section}]"
    if fault["type"] == "extra_forbidden":
        known = _known_keys(inner, in_model=in_model)
        near = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        return f"{place} has an unknown key {key!r}; {hint}"
    allowed = _literals(key)
    if fault["type"] in ("literal_error", "bool_type") and allowed:
        written = fault.get("input")
        near = difflib.get_close_matches(str(written).lower(), allowed, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        choices = " or ".join(repr(choice) for choice in allowed)
        return f"{place} {key} = {shown(written)} must be {choices}{hint}"
    if fault["type"] == "missing":
        return f"{place} {key} is missing"
    problem = fault["msg"].removeprefix("Input should be ")
    return f"{place} {key} = {shown(fault.get('input'))} should be {problem}"


def _known_keys(inner: list[str], *, in_model: bool) -> list[str]:
    tables = [part for part in inner if part in _INNER]
    if tables:
        return list(_INNER[tables[-1]].model_fields)
    return list((ModelSection if in_model else Section).model_fields)


def _literals(key: str) -> tuple[str, ...]:
    name = key.split(".")
    if name[0] == "policy":
        return _POLICY_WORDS.get(name[1] if len(name) > 1 else "", ())
    return _WORDS.get(name[0], ())


def shown(value: Any) -> str:
    """A value as a config file spells it, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 60 else text[:57] + "..."
