"""The settings under ``[plugin.reliability]``: read, checked and merged for one model.

Later layers win over earlier ones:

1. the defaults in ``KEYS``
2. the user's ``[plugin.reliability]``
3. the user's ``[plugin.reliability.models."<glob>"]``, the most specific glob last
4. environment variables ``GPTME_RELIABILITY_*``
5. the project's ``gptme.toml``, which may only tighten: a cloned repository is not trusted

What tightening means is said once, for each key, in ``KEYS``.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from gptme_reliability.errors import ConfigError
from gptme_reliability.surfaces.gptme.schema import (
    FACT_KEYS,
    SECTION,
    CommonSection,
    Section,
    checked,
    shown,
)
from gptme_reliability.types import RUNGS, ModelFacts, Order, Policy, Prerequisite, RepairKind

if TYPE_CHECKING:
    from gptme.config import Config

    from gptme_reliability.surfaces.host import Settings

ProjectRule: TypeAlias = Callable[[Any, Any, bool], bool]
"""(value so far, value the project wants, whether the user said the value so far) -> allowed."""


def _never(_current: Any, _wanted: Any, _said: bool) -> bool:
    return False


def _always(_current: Any, _wanted: Any, _said: bool) -> bool:
    return True


def _if_unsaid(_current: Any, _wanted: Any, said: bool) -> bool:
    return not said


def _turn_on_if_unsaid(_current: Any, wanted: Any, said: bool) -> bool:
    return wanted is True and not said


def _turn_on(_current: Any, wanted: Any, _said: bool) -> bool:
    return wanted is True


def _turn_off(_current: Any, wanted: Any, _said: bool) -> bool:
    return wanted is False


def _lower(current: Any, wanted: Any, _said: bool) -> bool:
    return bool(wanted < current)


def _bound(current: Any, wanted: Any, _said: bool) -> bool:
    return bool(current is None or wanted < current)


def _sooner(current: Any, wanted: Any, _said: bool) -> bool:
    return bool(wanted and (not current or wanted < current))


def _fewer(current: Any, wanted: Any, _said: bool) -> bool:
    return set(wanted) < set(current)


def _hold(_current: Any, wanted: Any, _said: bool) -> bool:
    return bool(wanted == "hold")


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: its default, and what a project may do to it."""

    default: Any
    project: ProjectRule


KEYS: Final[Mapping[str, Key]] = {
    # Checking calls is safer than not checking them, but an explicit "off" is the user's word.
    "enabled": Key(False, _turn_on_if_unsaid),
    # Observing runs unchecked calls.
    "mode": Key("on", _never),
    # Re-asks cost the user time and money.
    "retries": Key(3, _lower),
    "policy.max_added_tokens": Key(None, _bound),
    "policy.max_added_seconds": Key(None, _bound),
    # Who owns the server knows how much it bears.
    "policy.backoff": Key(0.2, _never),
    # A call that leads nowhere is stopped no later than the user wants.
    "policy.loops": Key(3, _sooner),
    # Each class that is allowed lets more calls run.
    "policy.allow": Key(("lossless", "inferred"), _fewer),
    "policy.partial": Key("stand", _hold),
    "policy.aliases": Key(True, _turn_off),
    # What may be guessed of a call that runs.
    "policy.max_cost_reading": Key(10, _lower),
    "policy.max_cost_writing": Key(5, _lower),
    # What the model is told changes nothing of what may run; more of it costs context.
    "policy.failed": Key("keep", _always),
    "policy.feedback_chars": Key(2_000, _lower),
    "policy.language": Key("en", _always),
    "policy.rungs": Key(RUNGS, _fewer),
    # An order only ever holds calls back; one for another would let some run.
    "policy.order": Key(None, _if_unsaid),
    # Off lets calls run that a page or a file put into the model's mouth.
    "echo_guard": Key(True, _turn_on),
    # The trace is the user's evidence; more of it puts contents on the disk.
    "trace": Key("on", _never),
    "notice": Key(True, _never),
    # Lessons cost context, and their directory is chosen at start.
    "lessons": Key(False, _never),
    # Who runs the server says how its models are sampled.
    "contracts": Key(True, _never),
    "unknown": Key("refuse", _never),
    # Without these a model gets what it gets without the plugin.
    "respond": Key(None, _turn_off),
    "force": Key(None, _turn_off),
}

# Environment variables, and how their text becomes a value that the schema then checks.
_WORDS: Final = {"1": True, "true": True, "yes": True, "on": True} | {
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def _flag(text: str) -> Any:
    return _WORDS.get(text.strip().lower(), text)


def _number(text: str) -> Any:
    return int(text) if text.strip().lstrip("+-").isdecimal() else text


def _seconds(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _names(text: str) -> Any:
    return [part.strip() for part in text.split(",") if part.strip()]


_ENV_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "enabled": _flag,
    "mode": str.strip,
    "retries": _number,
    "policy.max_added_tokens": _number,
    "policy.max_added_seconds": _number,
    "policy.backoff": _seconds,
    "policy.loops": _number,
    "policy.allow": _names,
    "policy.partial": str.strip,
    "policy.aliases": _flag,
    "policy.max_cost_reading": _number,
    "policy.max_cost_writing": _number,
    "policy.failed": str.strip,
    "policy.feedback_chars": _number,
    "policy.language": str.strip,
    "policy.rungs": _names,
    "policy.order": _json,
    "trace": str.strip,
    "notice": _flag,
    "lessons": _flag,
    "contracts": _flag,
    "unknown": str.strip,
    "respond": _flag,
    "force": _flag,
    "echo_guard": _flag,
}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What is set for one model: flat keys such as ``policy.allow``, and where each came from.

    ``sources`` holds only what somebody set; ``complaints`` are lines on project settings that
    were ignored.
    """

    model: str
    values: Mapping[str, Any]
    sources: Mapping[str, str] = field(default_factory=dict)
    complaints: tuple[str, ...] = ()
    facts: ModelFacts = field(default_factory=ModelFacts)
    sampling: Mapping[str, Any] = field(default_factory=dict)

    def settings(self) -> Settings | None:
        """What the client works with; None when the plugin is off for this model."""
        if not self.values["enabled"]:
            return None
        from gptme_reliability.surfaces.host import Settings

        policy = Policy(
            allow=frozenset(cast("tuple[RepairKind, ...]", self.values["policy.allow"])),
            partial=self.values["policy.partial"],
            retries=self.values["retries"],
            max_added_tokens=self.values["policy.max_added_tokens"],
            max_added_seconds=self.values["policy.max_added_seconds"],
            backoff=self.values["policy.backoff"],
            loops=self.values["policy.loops"],
            aliases=self.values["policy.aliases"],
            max_cost_reading=self.values["policy.max_cost_reading"],
            max_cost_writing=self.values["policy.max_cost_writing"],
            echo_guard=self.values["echo_guard"],
            failed=self.values["policy.failed"],
            feedback_chars=self.values["policy.feedback_chars"],
            language=self.values["policy.language"],
            rungs=self.values["policy.rungs"],
            order=_order(self.values["policy.order"]),
            respond=self.values["respond"],
            force=self.values["force"],
        )
        return Settings(model=self.model, mode=self.values["mode"], policy=policy, facts=self.facts)


def _order(section: Mapping[str, Any] | None) -> Order | None:
    """The order that a checked section describes."""
    if section is None:
        return None
    before = tuple(Prerequisite(**row) for row in section["before"])
    return Order(tuple(section["required"]), tuple(section["terminal"]), before)


def load(config: Config, model: str) -> ModelConfig:
    """Merge all layers for a model, given by its full name ``provider/model``.

    Equal input gives the same object without reading it again, so this may run per request.

    Raises:
        ConfigError: the user's config or an environment variable is wrong; one line says what.
    """
    user = _plain(config.user.plugin.get("reliability", {}))
    project = _plain(config.project.plugin.get("reliability", {})) if config.project else {}
    # The project's [env] section is as untrusted as the rest of it, so the environment is read
    # without the project, and what only the project says counts as the project's.
    trusted = replace(config, project=None)
    env = {key: text for key in KEYS if (text := trusted.get_env(_variable(key)))}
    smuggled = tuple(
        _variable(key) for key in KEYS if config.project and _variable(key) in config.project.env
    )
    key = repr((model, user, project, env, smuggled))
    if key not in _loaded:
        if len(_loaded) >= 64:
            _loaded.clear()
        _loaded[key] = _merge(config, model, user, project, env, smuggled)
    return _loaded[key]


_loaded: dict[str, ModelConfig] = {}


def wants_lessons(config: Config) -> bool:
    """Whether the user asked for the lessons; a broken config counts as no."""
    try:
        return bool(load(config, "").values["lessons"])
    except ConfigError:
        return False


def files(config: Config) -> dict[str, str]:
    """The config files in play, by layer."""
    from gptme.config import config_path

    found = {"user": str(config_path)}
    workspace = getattr(config.project, "_workspace", None)
    if config.project is not None:
        found["project"] = str(workspace / "gptme.toml") if workspace else "gptme.toml"
    return found


def _merge(
    config: Config,
    model: str,
    user: Any,
    project: Any,
    env: Mapping[str, str],
    smuggled: tuple[str, ...],
) -> ModelConfig:
    names = files(config)
    values = {key: spec.default for key, spec in KEYS.items()}
    sources: dict[str, str] = {}
    facts: dict[str, Any] = {}

    for key, value, where in _layers(checked(user, names["user"]), model, names["user"]):
        if key in FACT_KEYS:
            facts[key] = value
        else:
            values[key], sources[key] = value, where
    for key, value in _environment(env):
        values[key], sources[key] = value, f"environment variable GPTME_{_variable(key)}"

    complaints = [
        f"{names['project']}: [env] {variable} is ignored; a project cannot set it that way"
        for variable in smuggled
    ]
    if project:
        said = frozenset(sources)
        try:
            asked = list(_layers(checked(project, names["project"]), model, names["project"]))
        except ConfigError as error:
            # An untrusted file must not be able to turn the checks off by being wrong.
            asked, complaints = [], [*complaints, f"{error} (the project's settings are ignored)"]
        for key, value, where in asked:
            if key in KEYS and value == values[key]:
                continue
            if key in KEYS and KEYS[key].project(values[key], value, key in said):
                values[key], sources[key] = value, where
            else:
                complaints.append(
                    f"{where}: {key} = {shown(value)} is ignored; only your own config or the "
                    f"environment may set it so"
                )
    return ModelConfig(
        model=model,
        values=values,
        sources=sources,
        complaints=tuple(complaints),
        facts=_facts(facts),
        sampling=facts.get("sampling") or {},
    )


def _facts(said: Mapping[str, Any]) -> ModelFacts:
    known = {key: value for key, value in said.items() if key not in ("sampling", "thinks")}
    if "thinks" in said:
        known["mode"] = "thinking" if said["thinks"] else "instruct"
    return ModelFacts(**known, source="config") if known else ModelFacts()


def _layers(section: Section, model: str, where: str) -> Iterator[tuple[str, Any, str]]:
    """The settings of one file in the order in which they win, as (key, value, where)."""
    yield from _flat(section, f"{where} [{SECTION}]")
    matching = [glob for glob in section.models if fnmatch.fnmatchcase(model, glob)]
    for glob in sorted(matching, key=_specificity):
        yield from _flat(section.models[glob], f'{where} [{SECTION}.models."{glob}"]')


def _specificity(glob: str) -> tuple[bool, int, str]:
    """A name without wildcards is the most specific, then the one that spells out most."""
    literal = len(glob) - sum(glob.count(wildcard) for wildcard in "*?[]")
    return (literal == len(glob), literal, glob)


def _flat(section: CommonSection, where: str) -> Iterator[tuple[str, Any, str]]:
    for key, value in section.model_dump(exclude_none=True, exclude={"models"}).items():
        if key == "policy":
            for name, part in value.items():
                yield f"policy.{name}", tuple(part) if isinstance(part, list) else part, where
        else:
            yield key, value, where


def _environment(env: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for key, text in env.items():
        nested: Any = _ENV_READERS[key](text)
        for part in reversed(key.split(".")):
            nested = {part: nested}
        section = checked(nested, f"environment variable GPTME_{_variable(key)}")
        for name, value, _ in _flat(section, ""):
            yield name, value


def _variable(key: str) -> str:
    return "RELIABILITY_" + key.replace(".", "_").upper()


def _plain(value: Any) -> Any:
    """TOML libraries hand out wrappers; everything behind this line is plain Python."""
    unwrap = getattr(value, "unwrap", None)
    return unwrap() if callable(unwrap) else value
