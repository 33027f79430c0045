"""The whole probe as a generator: it yields requests, is sent what came, and returns a result.

No I/O, no clock, no randomness; whatever a server answers, nothing raises but ``CannotProbe``.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

from gptme_reliability.backends import Backend
from gptme_reliability.errors import InputError
from gptme_reliability.probe import canaries, context
from gptme_reliability.probe.canaries import CANARIES, NONSENSE, OTHER_KEYS, Canary
from gptme_reliability.probe.context import Context
from gptme_reliability.probe.fields import FIELDS
from gptme_reliability.probe.finding import AGREEING, MOST_SAMPLES, UNCLEAR, Finding, Known, settle
from gptme_reliability.probe.judging import judged, unanswered
from gptme_reliability.probe.offer import OFFER, ONE_CALL, TIMER
from gptme_reliability.probe.sample import Ask, Heard, Sample, read

CHAT: Final = "/v1/chat/completions"
_RENDER: Final = "/apply-template"
_TEMPERATURES: Final = (0.3, 0.6, 0.9)
_CUT_WORTH: Final = 64
"""Tokens from which more of them may help an answer that was cut off."""
_MORE: Final = 3
_MOST_LOST: Final = 4
"""Requests without an answer after which a server is left alone."""

_Returned = TypeVar("_Returned")
Asking: TypeAlias = Generator[Ask, Heard, _Returned]


class CannotProbe(InputError):
    """A server answers nothing that could be judged."""


class _Gone(Exception):
    """It stopped answering on the way."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What was found, by field; how each sampling parameter is taken; and what it cost.

    ``sampling`` says ``read`` of a parameter that the server looks at, ``accepted`` of one that
    it takes in any form, ``rejected`` or ``unclear``.  ``written`` are the tokens of all answers
    that were counted.
    """

    found: Mapping[str, Finding] = field(default_factory=dict)
    sampling: Mapping[str, str] = field(default_factory=dict)
    context: Context = field(default_factory=Context)
    requests: int = 0
    written: int = 0


def probe(model: str, backend: Backend) -> Asking[Probed]:
    """Find out what a server does for a model.

    Raises:
        CannotProbe: it does not answer a plain request.
    """
    run = _Probe(model, backend)
    yield from run.begin()
    with suppress(_Gone):
        yield from run.everything()
    return run.result()


def at_most(backend: Backend) -> tuple[int, int]:
    """How many requests a probe makes at most, and how many tokens it lets the model write."""
    rows = [*CANARIES, canaries.overflow(0)]
    if backend in OTHER_KEYS:
        rows.append(canaries.other_key(OTHER_KEYS[backend]))
    single = 3 * len(canaries.parameters(backend)) + 1 + MOST_SAMPLES
    pages = len(context.PLACES.get(backend, (context.LIST,))) + 1
    tokens = sum(row.tokens + (MOST_SAMPLES - 1) * _enlarged(row.tokens) for row in rows)
    return MOST_SAMPLES * len(rows) + single + pages, tokens + single


def _enlarged(tokens: int) -> int:
    return tokens * _MORE if tokens >= _CUT_WORTH else tokens


class _Probe:
    def __init__(self, model: str, backend: Backend) -> None:
        self._model = model
        self._backend = backend
        self._found: dict[str, Finding] = {}
        self._sampling: dict[str, str] = {}
        self._context = Context()
        self._bare_tokens: int | None = None
        self._requests = 0
        self._written = 0
        self._lost = 0

    def begin(self) -> Asking[None]:
        """A plain request, to see whether there is anything to probe."""
        sample = Sample("lost")
        for _ in range(MOST_SAMPLES):
            sample = yield from self._send(self._bare())
            if sample.kind == "answer":
                self._bare_tokens = sample.tokens("prompt")
                return
        if sample.status in (401, 403):
            raise CannotProbe(f"HTTP {sample.status}: it wants a key, or another one")
        said = f" ({sample.said})" if sample.said else ""
        raise CannotProbe(f"a plain request fails: {unanswered(sample)}{said}")

    def everything(self) -> Asking[None]:
        """All that is to be found out."""
        yield from self._declared()
        yield from self._parameters()
        yield from self._rendered()
        for canary in CANARIES:
            yield from self._canary(canary)
        yield from self._other_key()
        size = self._context.serving
        if size is not None and size <= canaries.CHEAP_CONTEXT:
            yield from self._canary(canaries.overflow(size))
        else:
            why = "the server declares no context" if size is None else "too long to try"
            self._found["overflow"] = Finding(UNCLEAR, why)

    def result(self) -> Probed:
        """What was found, with what follows from it."""
        found = self._found
        known = Known(found)
        if known.value("tools_in_prompt") == "no":
            for name in ("native_tools", "stream_calls"):
                # A model may write what it was never told of.
                if known.value(name) in (UNCLEAR, "leaked"):
                    found[name] = Finding("dropped", "its prompt leaves the tools out")
        not_asked = Finding(UNCLEAR, "not asked: the server stopped answering")
        ordered = {name: found.get(name, not_asked) for name in FIELDS}
        return Probed(ordered, self._sampling, self._context, self._requests, self._written)

    # --- the steps ------------------------------------------------------------------------

    def _declared(self) -> Asking[None]:
        answers = {}
        for path in context.PLACES.get(self._backend, (context.LIST,)):
            answers[path] = yield from self._fetch(path, context.body_for(path, self._model))
        self._context = context.declared_context(self._backend, answers, self._model)

    def _parameters(self) -> Asking[None]:
        right = canaries.parameters(self._backend)
        self._sampling = dict.fromkeys(right, UNCLEAR)
        sample = yield from self._send({**self._bare(), **right})
        taken = dict.fromkeys(right, "accepted") if sample.kind == "answer" else {}
        for name, value in right.items():
            if name not in taken:
                taken[name] = yield from self._alone(name, value)
        for name in right:
            if taken[name] == "accepted":
                sample = yield from self._send({**self._bare(), name: NONSENSE})
                taken[name] = "read" if sample.kind == "refused" else "accepted"
            self._sampling[name] = taken[name]

    def _alone(self, name: str, value: Any) -> Asking[str]:
        kinds = []
        for _ in range(AGREEING):
            sample = yield from self._send({**self._bare(), name: value})
            kinds.append(sample.kind)
            if kinds == ["answer"]:
                return "accepted"
        return "rejected" if set(kinds) == {"refused"} else UNCLEAR

    def _rendered(self) -> Asking[None]:
        """What llama.cpp itself says of the prompt."""
        if self._backend != "llama.cpp":
            return
        body = {"messages": _messages(ONE_CALL), "tools": OFFER}
        page = yield from self._fetch(_RENDER, body)
        prompt = page.get("prompt") if isinstance(page, Mapping) else None
        if isinstance(prompt, str) and ONE_CALL in prompt:
            value = "yes" if TIMER in prompt else "no"
            self._found["tools_in_prompt"] = Finding(value, f"says {_RENDER}")

    def _other_key(self) -> Asking[None]:
        held = self._found["response_format"]
        how = OTHER_KEYS.get(self._backend)
        if held.value == "enforced":
            self._found["structured"] = Finding("response_format")
        elif how is None or held.value == UNCLEAR:
            self._found["structured"] = Finding(UNCLEAR, "no other key is known")
        else:
            yield from self._canary(canaries.other_key(how))

    def _canary(self, canary: Canary) -> Asking[None]:
        """Samples of one request until every field that it fills is settled."""
        wanted = [name for name in canary.judges if name not in self._found]
        judged_so_far: dict[str, list[Finding]] = {name: [] for name in wanted}
        tokens = canary.tokens
        for number in range(MOST_SAMPLES):
            sample = yield from self._send(self._body(canary, number, tokens), canary.streamed)
            known = Known(self._found, self._bare_tokens, self._context.serving)
            for name, findings in list(judged_so_far.items()):
                judge = canary.judges[name]
                findings.append(judged(judge, sample, known, canary.refused))
                settled = settle(findings, FIELDS[name].sure, FIELDS[name].agreeing)
                if settled is not None:
                    self._found[name] = settled
                    del judged_so_far[name]
            if not judged_so_far:
                return
            if sample.output.finish_reason == "length":
                tokens = _enlarged(canary.tokens)

    # --- requests -------------------------------------------------------------------------

    def _bare(self) -> dict[str, Any]:
        return {"model": self._model, "messages": _messages(ONE_CALL), "max_tokens": 1}

    def _body(self, canary: Canary, number: int, tokens: int) -> dict[str, Any]:
        drawn = {"temperature": _TEMPERATURES[number], "seed": number + 1}
        return {
            "model": self._model,
            "messages": _messages(canary.says),
            "max_tokens": tokens,
            **{name: v for name, v in drawn.items() if self._sampling.get(name) != "rejected"},
            **canary.body,
        }

    def _send(self, body: Mapping[str, Any], streamed: bool = False) -> Asking[Sample]:
        sample = read((yield from self._ask(Ask(CHAT, body))), streamed=streamed)
        self._written += sample.tokens("completion") or 0
        return sample

    def _fetch(self, path: str, body: Mapping[str, Any] | None) -> Asking[Any]:
        return (yield from self._ask(Ask(path, body))).json()

    def _ask(self, ask: Ask) -> Asking[Heard]:
        if self._lost >= _MOST_LOST:
            raise _Gone
        self._requests += 1
        heard = yield ask
        self._lost += heard.status == 0
        return heard


def _messages(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]
