"""One log: its events judged in order, and counted."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from gptme_reliability.audit.counting import NO_TOOL, Key, Stretch, Tally
from gptme_reliability.audit.exchanges import Exchange, Failed, Said, exchanges
from gptme_reliability.audit.failure import Case, Failure, Judged
from gptme_reliability.audit.judging import format_shown, judge, judge_blindly
from gptme_reliability.audit.reading import Message
from gptme_reliability.audit.repeats import Repeats
from gptme_reliability.audit.request_faults import judge_request
from gptme_reliability.audit.setting import Setting, gptme_tools

_RECENT: Final = 8
_LONGEST_RECENT: Final = 8_000
_EXCERPT: Final = 100
_DEMANDS: Final = frozenset({"nudge", "stuck"})
"""Who asks for a call: mere talk is no answer to them."""
_LONGEST_NAME: Final = 60
_MOST_TOOLS: Final = 400
_DIRECTORIES: Final = re.compile(r"[/~.\\]|[A-Za-z]:|file:", re.IGNORECASE)
_A_FILE: Final = (".gguf", ".ggml", ".bin", ".safetensors")
_SEPARATOR: Final = re.compile(r"[/\\]")
UNKNOWN: Final = "unknown"
NOT_OFFERED: Final = "(no such tool)"


class Conversation:
    """The state of a log while it is read.

    ``redact`` keeps out of the figures what may be private: contents, and the names of tools
    that only the model knows.
    """

    def __init__(self, name: str, setting: Setting, tally: Tally, *, redact: bool) -> None:
        self._name = name
        self._setting = setting
        self._tally = tally
        self._redact = redact
        self._recent: deque[Mapping[str, Any]] = deque(maxlen=_RECENT)
        self._repeats = Repeats()
        self._stretch: Stretch | None = None
        self._model = self._model_name(setting.model) or UNKNOWN
        self._unanswered = False

    def read(self, messages: Iterable[Message]) -> None:
        """Judge and count all of a log; what was counted stands if this is interrupted."""
        for event in exchanges(self._counted(messages)):
            self._unanswered = isinstance(event, Said) and event.message.fresh
            if isinstance(event, Exchange):
                self._exchange(event)
            elif isinstance(event, Said):
                self._said(event)
            elif event.message.fresh:
                self._request_failed(event)
        self._end_stretch(recovered=False)
        self._tally.unanswered += self._unanswered

    def _counted(self, messages: Iterable[Message]) -> Iterator[Message]:
        for message in messages:
            self._tally.messages += message.fresh
            yield message

    # --- events ---------------------------------------------------------------------------

    def _exchange(self, event: Exchange) -> None:
        answer = event.answer
        self._model = self._model_name(answer.model) or self._model
        if answer.fresh:
            self._learn_tools(event)
            self._judge(event)
        self._remember("assistant", answer)
        for result in event.results:
            self._remember("tool", result)

    def _judge(self, event: Exchange) -> None:
        case = Case(event, self._setting, tuple(self._recent))
        shown = self._setting.format or format_shown(case)
        if shown and not self._setting.format:
            self._setting = self._setting.in_format(shown)
        judged = judge(case, shown) if shown else judge_blindly(case)
        self._tally.answers[self._model] += 1
        self._tally.calls += len(judged.made)
        self._tally.doubtful += judged.doubtful
        looping = self._repeats.begins_loop(judged.made, self._setting.tools)
        failures = list(judged.failures)
        if looping is not None and not failures:
            failures.append(Failure("loop", "loops", looping))
        self._count(event, judged, failures)

    def _count(self, event: Exchange, judged: Judged, failures: list[Failure]) -> None:
        for failure in failures:
            self._fail(failure, event.answer)
        if not failures and (judged.made or event.before not in _DEMANDS):
            self._end_stretch(recovered=True)
        self._spend(event.answer, *event.results)

    def _said(self, event: Said) -> None:
        if event.message.fresh:
            if event.voice == "stuck" and (tool := self._repeats.host_complained()) is not None:
                self._fail(Failure("loop", "loops", tool or None), event.message)
            self._spend(event.message)
        if event.voice == "user":
            self._repeats.user_spoke()
        self._remember("user", event.message)

    def _request_failed(self, event: Failed) -> None:
        failure = judge_request(event.message)
        if failure is None:
            self._tally.other_requests += 1
            return
        self._fail(failure, event.message)
        self._spend(event.message)

    # --- what it cost ---------------------------------------------------------------------

    def _fail(self, failure: Failure, message: Message) -> None:
        key = Key(
            failure.kind,
            self._tool_name(failure.tool),
            self._setting.format or UNKNOWN,
            self._model,
        )
        self._tally.failed(failure, key)
        if self._stretch is None:
            excerpt = None if self._redact else _head(message.content)
            self._stretch = Stretch(self._name, message.line, key, failure.stage, excerpt)
        self._stretch.failures += 1
        self._stretch.nearest = key

    def _spend(self, *messages: Message) -> None:
        stretch = self._stretch
        if stretch is None or stretch.nearest is None:
            return
        tokens = sum(message.tokens for message in messages)
        stretch.messages += len(messages)
        stretch.tokens += tokens
        self._tally.wasted(stretch.nearest, len(messages), tokens)

    def _end_stretch(self, *, recovered: bool) -> None:
        if self._stretch is not None:
            self._tally.ended(self._stretch.ended(recovered=recovered))
            self._stretch = None

    # --- what is known --------------------------------------------------------------------

    def _learn_tools(self, event: Exchange) -> None:
        for result in event.results:
            full = len(self._setting.tools) >= _MOST_TOOLS
            if result.tool and not full and not self._setting.has(result.tool):
                self._setting = self._setting.with_tool(result.tool)

    def _model_name(self, name: str | None) -> str | None:
        """The name to count by: where it is that of a file, its directories are private."""
        if not name or not self._redact:
            return name
        provider, _, rest = name.partition("/")
        if _DIRECTORIES.match(name):
            return _SEPARATOR.split(name)[-1]
        if _DIRECTORIES.match(rest) or rest.lower().endswith(_A_FILE):
            return f"{provider}/{_SEPARATOR.split(rest)[-1]}"
        return name

    def _tool_name(self, written: str | None) -> str:
        if not written:
            return NO_TOOL
        if self._setting.has(written) or written in gptme_tools():
            return written
        return NOT_OFFERED if self._redact else self._tally.name(_shortened(written))

    def _remember(self, role: str, message: Message) -> None:
        self._recent.append({"role": role, "content": message.content[:_LONGEST_RECENT]})


def _head(text: str) -> str:
    flat = " ".join(text[: 4 * _EXCERPT].split())
    return flat if len(flat) <= _EXCERPT else flat[: _EXCERPT - 1] + "…"


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
