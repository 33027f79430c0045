"""The settings for one model: their defaults, which may be tightened how, and what they amount to.

Where they are read from is the business of each surface.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from gptme_reliability.surfaces.schema import CommonSection, Section
from gptme_reliability.types import RUNGS, ModelFacts, Order, Policy, Prerequisite, RepairKind

if TYPE_CHECKING:
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
    "retries": Key(Policy().retries, _lower),
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
    # Lessons cost context.
    "lessons": Key(False, _never),
    # Who runs the server says how its models are sampled.
    "contracts": Key(True, _never),
    "unknown": Key("refuse", _never),
    # Without these a model gets what it gets without the plugin.
    "respond": Key(None, _turn_off),
    "force": Key(None, _turn_off),
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

    def overrides(self) -> dict[str, Any]:
        """What is said of the model, as its sampling contract takes it."""
        facts = self.facts
        return {"sampling": self.sampling, "mode": facts.mode, "quant": facts.quant}

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


def facts_from(said: Mapping[str, Any]) -> ModelFacts:
    """What the sections of a model say of it."""
    known = {key: value for key, value in said.items() if key not in ("sampling", "thinks")}
    if "thinks" in said:
        known["mode"] = "thinking" if said["thinks"] else "instruct"
    return ModelFacts(**known, source="config") if known else ModelFacts()


def layers(section: Section, model: str, where: str, table: str) -> Iterator[tuple[str, Any, str]]:
    """The settings of one file in the order in which they win, as (key, value, where)."""
    yield from flat(section, f"{where} [{table}]")
    matching = [glob for glob in section.models if fnmatch.fnmatchcase(model, glob)]
    for glob in sorted(matching, key=_specificity):
        yield from flat(section.models[glob], f'{where} [{table}.models."{glob}"]')


def _specificity(glob: str) -> tuple[bool, int, str]:
    """A name without wildcards is the most specific, then the one that spells out most."""
    literal = len(glob) - sum(glob.count(wildcard) for wildcard in "*?[]")
    return (literal == len(glob), literal, glob)


def flat(section: CommonSection, where: str) -> Iterator[tuple[str, Any, str]]:
    """What one table sets, by flat key."""
    for key, value in section.model_dump(exclude_none=True, exclude={"models"}).items():
        if key == "policy":
            for name, part in value.items():
                yield f"policy.{name}", tuple(part) if isinstance(part, list) else part, where
        else:
            yield key, value, where
