"""The ways of asking again, from the mildest to the last, and which of them a server has.

What a server has is known from the user's config, from facts about the model, and from what the
server itself did with earlier requests: a rung that it refused or ignored is not tried again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gptme_reliability import prompting, replay
from gptme_reliability.prompt_dialects import dialect_for
from gptme_reliability.respond import chooses_freely, wanted, with_voice
from gptme_reliability.types import (
    Attempted,
    ModelFacts,
    ModelOutput,
    ModelRequest,
    Policy,
    Retry,
    Rung,
    ToolDefinition,
)

CONSTRAINED: Final = frozenset({"force", "structure"})
"""Rungs that leave the model no choice but to call or to use the tool for talking."""

_TOLD: Final = ("re_ask", "resample")
_GREEDY: Final = 0.2
_MILD: Final = 0.4
_WIDE_TOP_P: Final = 0.9


class Learned:
    """What a server has shown of itself for one model; kept by whoever sends.

    Besides rungs: ``tools`` for native tools as such, ``respond`` for the tool for talking,
    ``correction`` for schemas that hold what stays of the failed calls.
    ``tools_settled`` says that it is known, or was asked, whether its model gets to see tools.
    """

    def __init__(self) -> None:
        self._lost: set[str] = set()
        self.tools_settled = False

    def lose(self, what: str) -> None:
        """The server refused or ignored this."""
        self._lost.add(what)

    def lost(self, what: str) -> bool:
        """Whether it did."""
        return what in self._lost


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it is sent.

    ``rung`` is what it stands for, None for the host's own.  ``tools`` may be called in the
    answer, and ``voice`` is the one for talking, if it is among them.  ``held`` names what
    leaves the model no choice but to call.
    """

    request: ModelRequest
    rung: Rung | None
    tools: tuple[ToolDefinition, ...]
    voice: str | None = None
    held: Rung | None = None


class Ladder:
    """Builds the requests of one exchange.

    The conversation is kept as the host has it, with native calls; only what is sent is put in
    another shape.
    """

    def __init__(
        self, request: ModelRequest, policy: Policy, facts: ModelFacts, learned: Learned
    ) -> None:
        self._policy = policy
        self._facts = facts
        self._learned = learned
        self._request = request
        self._told = request
        self._used: set[Rung] = set()
        self._attempted: Sequence[Attempted] = ()

    # --- what is asked --------------------------------------------------------------------

    def first(self) -> Asked:
        """The host's own request, as this model and server need it."""
        return self._shaped(None, self._request)

    def next_rung(self, *, attempted: bool, same: bool) -> Rung:
        """The rung to ask on, the next above the last; ``re_ask`` where no other is left.

        ``attempted`` says that the model tried to call something: only then is it held to
        calling.  ``same`` says that it failed as it did before, so that telling it again is no
        use, and drawing again hardly any.  Where the tools are told in words, so that the
        server holds no call to its schema, that comes first.
        """
        if attempted and not self._native and self._is_left("structure"):
            return "structure"
        rungs = self._policy.rungs
        reached = max((rungs.index(rung) for rung in self._used if rung in rungs), default=0)
        above_first = (*rungs[reached:], *rungs[:reached])
        left = [rung for rung in above_first if self._is_left(rung)]
        if not attempted:
            left = [rung for rung in left if rung in _TOLD]
        if same:
            left.sort(key=_TOLD.__contains__)
            left = [rung for rung in left if rung != "re_ask"]
        return next(iter(left), "re_ask")

    def again(
        self,
        rung: Rung,
        output: ModelOutput,
        verdict: Retry,
        *,
        same: bool,
        attempted: Sequence[Attempted] = (),
    ) -> Asked:
        """The request that asks for a failed answer again.

        ``attempted`` are the calls to correct, where it is known what was right in them.
        """
        self._used.add(rung)
        self._attempted = () if self._learned.lost("correction") else attempted
        policy = self._policy
        if same:
            told = replay.asked_differently(self._request, verdict, policy)
        else:
            told = replay.asked_again(self._request, self._told, output, verdict, policy)
        self._told = told
        return self._shaped(rung, told)

    def instead(self, asked: Asked, *, tools: bool) -> Asked | None:
        """Another shape for a request that the server refused; None where there is none.

        ``tools`` says that it refused it for the tools in it.
        """
        if tools and asked.request.tools and "prompt" in self._policy.rungs:
            self._learned.lose("tools")
            return self._shaped("prompt", self._told)
        if asked.held == "structure" and self._attempted:
            # It may be what stays of the calls that the server makes no grammar of.
            self._attempted = ()
            plain = self._structured(self._told)
            if plain.request.params != asked.request.params:
                self._learned.lose("correction")
                return plain
        refused: str | None = asked.held or asked.rung
        if refused in (None, "re_ask", "prompt"):
            refused = "respond" if asked.voice else None
        if refused is None:
            return None
        self._learned.lose(refused)
        left = [rung for rung in self._policy.rungs if self._is_left(rung)]
        other = next((rung for rung in left if rung not in _TOLD), None)
        if other is None or asked.rung in (None, "resample"):
            return self._shaped(None, self._told)
        self._used.add(other)
        return self._shaped(other, self._told)

    def unread(self, asked: Asked) -> Asked | None:
        """What to ask instead where the server was found to leave tools out of the prompt."""
        if not asked.request.tools or not self._learned.lost("tools"):
            return None
        return self.instead(asked, tools=True)

    def heard(self, asked: Asked, *, called: bool) -> None:
        """An answer came; one without any call says that the server does not force."""
        if asked.held and not called:
            self._learned.lose(asked.held)

    # --- which rungs there are ------------------------------------------------------------

    def _is_left(self, rung: Rung) -> bool:
        return rung not in self._used and self._has(rung)

    def _has(self, rung: Rung) -> bool:
        policy, facts, request = self._policy, self._facts, self._request
        if rung not in policy.rungs or self._learned.lost(rung):
            return False
        if request.host is not None and rung not in _TOLD:
            return False  # its calls stand in text, in its own form
        if rung == "force":
            may = policy.force is not False and facts.tool_choice is not False
            return may and self._native and chooses_freely(request)
        if rung == "structure":
            may = policy.force is not False and facts.response_format is not False
            return may and "response_format" not in request.params and chooses_freely(request)
        if rung == "prompt":
            return self._native and facts.native_tools is not True
        if rung == "native":
            return not self._native and not self._learned.lost("tools")
        return True

    @property
    def _native(self) -> bool:
        """Whether the server takes tools, as far as is known."""
        if "prompt" not in self._policy.rungs:
            return True
        return self._facts.native_tools is not False and not self._learned.lost("tools")

    # --- shapes ---------------------------------------------------------------------------

    def _shaped(self, rung: Rung | None, told: ModelRequest) -> Asked:
        if rung == "structure":
            return self._structured(told)
        if rung == "prompt" or not (self._native or rung == "native"):
            return self._sampled(self._prompted(rung, told))
        forced = rung == "force" or (self._policy.force is True and self._has("force"))
        talks = wanted(self._request, self._policy, self._facts)
        if not forced and (self._learned.lost("respond") or not talks):
            return self._sampled(Asked(told, rung, told.tools))
        spoken, voice = with_voice(told, self._policy)
        if forced:
            spoken = replace(spoken, params={**spoken.params, "tool_choice": "required"})
        return self._sampled(Asked(spoken, rung, spoken.tools, voice, "force" if forced else None))

    def _sampled(self, asked: Asked) -> Asked:
        if asked.rung != "resample":
            return asked
        request = replace(
            asked.request, params=resampled(asked.request.params, self._facts.temperature)
        )
        return replace(asked, request=request)

    def _prompted(self, rung: Rung | None, told: ModelRequest) -> Asked:
        dialect = dialect_for(self._facts.family, self._facts.dialect)
        shaped = prompting.prompted(told, dialect, self._policy.language)
        return Asked(shaped, rung, self._request.tools)

    def _structured(self, told: ModelRequest) -> Asked:
        spoken, voice = with_voice(told, self._policy)
        how = self._facts.structured or "response_format"
        shaped = prompting.structured(spoken, how, self._policy.language, self._attempted, voice)
        return Asked(shaped, "structure", spoken.tools, voice, "structure")


def resampled(
    params: Mapping[str, Any], admitted: tuple[float, float] | None = None
) -> dict[str, Any]:
    """Parameters for another draw: milder, with another seed, within the ``admitted`` heat.

    A greedy model repeats itself, so that it gets some room instead; a ``top_p`` that is next
    to greedy would take it away again.
    """
    changed = dict(params)
    given, top_p = params.get("temperature"), params.get("top_p")
    if isinstance(given, int | float) and given > _GREEDY:
        changed["temperature"] = round(given / 2, 3)
    else:
        changed["temperature"] = _MILD
        if isinstance(top_p, int | float) and top_p < _WIDE_TOP_P:
            changed["top_p"] = _WIDE_TOP_P
    if admitted is not None:
        lowest, highest = admitted
        changed["temperature"] = min(max(changed["temperature"], lowest), highest)
    seed = params.get("seed")
    changed["seed"] = (seed if isinstance(seed, int) else 0) + 1
    return changed
