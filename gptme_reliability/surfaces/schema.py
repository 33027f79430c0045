"""The schema of the settings, and one clear line for what does not fit it.

They stand under ``[plugin.reliability]`` in gptme's config and under ``[reliability]`` in the
proxy's; the keys are the same.  What a key means is said by its description, which the README
shows (``python tests/settings_table.py --write``).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gptme_reliability.errors import ConfigError
from gptme_reliability.types import ALL_RUNGS, Rung, Structured


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

    allow: list[Literal["lossless", "inferred", "lossy"]] | None = Field(
        default=None,
        description='which classes of repairs may run; `"lossy"` never does unless you add it',
    )
    partial: Literal["stand", "hold"] | None = Field(
        default=None,
        description=(
            '`"stand"`: good calls run, the rest is asked for after their results; behind a '
            'faulty call, a call of a tool that writes waits; `"hold"`: all or none'
        ),
    )
    aliases: bool | None = Field(
        default=None,
        description="whether `bash` may stand for `shell`, `cmd` for `command`",
    )
    max_cost_reading: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description=(
            "how much guessing may stand behind a call of a tool that is known to change nothing"
        ),
    )
    max_cost_writing: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description=(
            "how much guessing may stand behind a call that runs: one guess, not a stack of them"
        ),
    )
    max_added_tokens: int | None = Field(
        default=None,
        ge=0,
        description="how many tokens asking again may cost for one answer; unset: no bound",
    )
    max_added_seconds: int | None = Field(
        default=None,
        ge=0,
        description="how many seconds it may take; unset: no bound",
    )
    backoff: float | None = Field(
        default=None,
        ge=0,
        le=60,
        strict=False,
        allow_inf_nan=False,
        description=(
            "seconds to wait before the second re-ask, doubled for each one after it, up to "
            "ten times as many"
        ),
    )
    loops: int | None = Field(
        default=None,
        ge=0,
        le=40,
        description=(
            "a call that brought the same result this often in a row is asked about, then "
            "refused; `0`: never"
        ),
    )
    failed: Literal["keep", "rewind"] | None = Field(
        default=None,
        description=(
            '`"keep"`: a model that is asked again sees what it did wrong; `"rewind"`: its '
            "failed answers are left out"
        ),
    )
    feedback_chars: int | None = Field(
        default=None,
        ge=200,
        le=100_000,
        description="how many characters it is told at most; fewer for small contexts",
    )
    language: Literal["en", "zh"] | None = Field(
        default=None,
        description='the language it is told in: `"en"` or `"zh"`',
    )
    rungs: list[Rung] | None = Field(
        default=None,
        description=(
            "the ways of asking again, from the mildest to the last: told what was wrong; "
            "sampled otherwise; made to call; held to a schema (tried first where the tools are "
            "told in words); with the tools in the prompt; "
            'and, where they are there by `native_tools = false`, `"native"`: as such after all'
        ),
    )
    order: OrderSection | None = Field(
        default=None,
        description=(
            "which calls must come before which: `required`, `terminal` and `before`, see below"
        ),
    )


class CommonSection(Strict):
    """The keys that may stand in general and for single models."""

    enabled: bool | None = Field(
        default=None,
        description="whether calls of the model are checked",
    )
    mode: Literal["on", "observe"] | None = Field(
        default=None,
        description='`"observe"` reports what it would do and changes nothing',
    )
    retries: int | None = Field(
        default=None,
        ge=0,
        le=10,
        description=(
            "how often one answer may be asked for again, however often the host repeats its "
            "request"
        ),
    )
    policy: PolicySection | None = None
    trace: Literal["off", "on", "full"] | None = Field(
        default=None,
        description='`"off"`, `"on"` (hashes) or `"full"` (texts)',
    )
    notice: bool | None = Field(
        default=None,
        description="a line on standard error when something was changed",
    )
    contracts: bool | None = Field(
        default=None,
        description=(
            "self-hosted models are sampled as their card says, see below; hosted ones never are"
        ),
    )
    unknown: Literal["refuse", "warn"] | None = Field(
        default=None,
        description=(
            'a model without a card: `"refuse"` the first request with a message that says '
            'what to do, or `"warn"` and leave it as gptme sends it'
        ),
    )
    respond: bool | None = Field(
        default=None,
        description=(
            "offers the model a tool for talking, which you never see; unset: for self-hosted "
            "models whose `size_b` is known and below 8"
        ),
    )
    force: bool | None = Field(
        default=None,
        description=(
            "`true`: the model always has to call a tool or that one; unset: only where asking"
            " did not help; `false`: never"
        ),
    )
    echo_guard: bool | None = Field(
        default=None,
        description=(
            "asks about a call in text that only repeats what a tool result or a quotation held"
        ),
    )
    lessons: bool | Literal["small"] | None = Field(
        default=None,
        description=(
            "adds short lessons on calling tools to gptme's, about 350 tokens: `true`, or "
            '`"small"` for models whose size is known and below 8B'
        ),
    )


class ModelSection(CommonSection):
    """The keys for the models that a glob matches, with facts that describe them."""

    family: str | None = Field(
        default=None,
        description="in whose dialect the model is told of tools when the server knows none",
    )
    size_b: float | None = Field(
        default=None,
        gt=0,
        strict=False,
        description="billions of parameters",
    )
    quant: str | None = Field(
        default=None,
        description=(
            "how its weights are quantised, such as `Q4_K_M`: some cards have values of their own "
            "for that, and few bits earn a notice"
        ),
    )
    native_tools: bool | None = Field(
        default=None,
        description="the server takes tools; `false`: they are always written into the prompt",
    )
    tool_choice: bool | None = Field(
        default=None,
        description='the server honours `tool_choice` `"required"`',
    )
    response_format: bool | None = Field(
        default=None,
        description="the server holds answers to a JSON schema",
    )
    structured: Structured | None = Field(
        default=None,
        description=(
            'how the server wants a schema: `"response_format"`, `"json_schema"` (llama.cpp), '
            '`"structured_outputs"` (vLLM) or `"format"` (Ollama)'
        ),
    )
    thinks: bool | None = Field(
        default=None,
        description="which of its modes it runs in: `true` thinking, `false` instruct",
    )
    sampling: dict[str, float] | None = Field(
        default=None,
        description="sampling values that count before the card's",
    )


class Section(CommonSection):
    """All of the settings."""

    models: dict[str, ModelSection] = Field(default_factory=dict)


_POLICY_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "allow": ("lossless", "inferred", "lossy"),
    "partial": ("stand", "hold"),
    "rungs": ALL_RUNGS,
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
        section = Section.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_explain(error, where, table)) from None
    for glob, model in section.models.items():
        if model.sampling:
            _check_sampling(model.sampling, f'{where}: [{table}.models."{glob}"]')
    return section


def _check_sampling(values: Mapping[str, float], place: str) -> None:
    from gptme_reliability.backends import canonical
    from gptme_reliability.cards.reading import BOUNDS

    for key in values:
        if canonical(key) not in BOUNDS:
            hint = _near(key, list(BOUNDS))
            raise ConfigError(f"{place} has an unknown key 'sampling.{key}'; {hint}")


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"


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
        hint = _near(name, _known_keys(inner, in_model=in_model))
        if key in FACT_KEYS:
            hint = f'it describes a model, and stands under [{table}.models."<glob>"]'
        return f"{place} has an unknown key {key!r}; {hint}"
    allowed = _literals(key)
    if fault["type"] in ("literal_error", "bool_type") and allowed:
        written = fault.get("input")
        near = difflib.get_close_matches(str(written).lower(), allowed, n=1)
        hint = f"; did you mean {_spelled(near[0])}?" if near else ""
        choices = " or ".join(map(_spelled, allowed))
        return f"{place} {key} = {shown(written)} must be {choices}{hint}"
    if fault["type"] == "missing":
        return f"{place} {key} is missing"
    problem = fault["msg"].removeprefix("Input should be ")
    if fault["type"] in ("model_type", "dict_type"):
        problem = "a table"
    return f"{place} {key} = {shown(fault.get('input'))} should be {problem}"


def _spelled(choice: str) -> str:
    """A choice as TOML spells it."""
    return choice if choice in ("true", "false") else repr(choice)


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
