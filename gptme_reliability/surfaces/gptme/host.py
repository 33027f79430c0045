"""gptme as the host of the checking client: its settings, its parser, its terminal."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gptme_reliability.errors import ConfigError
from gptme_reliability.surfaces.gptme.current import conversation, in_server, owner

if TYPE_CHECKING:
    from gptme_reliability.surfaces.gptme.config import ModelConfig
    from gptme_reliability.surfaces.host import Report, Saying, Settings, Settled
    from gptme_reliability.surfaces.sampling import Agreement, Terms
    from gptme_reliability.types import Call, HostFormat, ModelFacts, Policy, Retry

logger = logging.getLogger(__name__)

# gptme cannot read a call back from its log whose id holds anything else.
_CALL_ID: Final = re.compile(r"[\w\-:.]+")
_BREAK: Final = "BREAK_ON_TOOLUSE"


class GptmeHost:
    """The ``Host`` of gptme's clients; one serves all providers, threads and conversations.

    ``agreements`` are what the models were last sampled with, by full name.
    """

    def __init__(self) -> None:
        self.agreements: dict[str, Agreement] = {}

    def terms(self, provider: str, body: Mapping[str, Any]) -> Terms | None:
        """Contracts hold for the user's own servers; elsewhere the provider knows its models."""
        model = f"{provider}/{body.get('model')}"
        loaded = _loaded(model)
        if loaded is None or not (loaded.values["enabled"] and loaded.values["contracts"]):
            return None
        if loaded.values["mode"] == "observe" or not is_self_hosted(provider):
            return None
        from gptme_reliability.surfaces.gptme.text_format import chat_of
        from gptme_reliability.surfaces.sampling import Terms

        return Terms(
            model,
            given=_said(body),
            overrides=loaded.overrides(),
            unknown=loaded.values["unknown"],
            # gptme's titles and summaries offer no tools, and are nothing to fail over.
            may_fail=bool(body.get("tools")) or chat_of(body) is not None,
        )

    def agreed(self, agreement: Agreement) -> None:
        """Tell what the user should know of it, and keep it on record."""
        try:
            _note(self.agreements, agreement)
        # The request is on its way; nothing about bookkeeping may stop it.
        except Exception:
            logger.warning("reliability: a contract could not be recorded", exc_info=True)

    def settings(self, provider: str, body: Mapping[str, Any]) -> Settings | None:
        """What the user set for the model of this request; None when the plugin is off."""
        from gptme_reliability.surfaces.gptme import notices, tool_faults
        from gptme_reliability.surfaces.gptme.mcp_tools import known_parameters
        from gptme_reliability.surfaces.gptme.read_only import read_only_tools
        from gptme_reliability.surfaces.gptme.text_format import chat_of

        notices.forget_status()
        loaded = _loaded(_full_name(provider, body))
        if loaded is None or not loaded.values["enabled"]:
            return None
        for complaint in loaded.complaints:
            notices.say_once(complaint)
        settings = loaded.settings()
        if settings is None:
            return None
        tool_faults.log_once(body.get("tools"))
        policy, facts = settings.policy, self._facts(settings)
        chat = None if body.get("tools") else chat_of(body)
        if chat is not None:
            policy = in_words(policy)
            settings = replace(
                settings,
                format=chat.format,
                offered=chat.tools,
                first_only=is_self_hosted(provider) and _stops_at_a_call(body),
            )
        if policy.respond is None and not is_self_hosted(provider):
            policy = replace(policy, respond=False)
        return replace(
            settings,
            policy=policy,
            facts=facts,
            read_only=read_only_tools(),
            parameters=known_parameters(),
            conversation=owner(),
            own_server=is_self_hosted(provider),
        )

    def _facts(self, settings: Settings) -> ModelFacts:
        from gptme_reliability.surfaces.facts import known
        from gptme_reliability.surfaces.gptme.probed import found

        agreement = self.agreements.get(settings.model)
        measured = found(settings.model, agreement)
        return known(settings.model, settings.facts, agreement, measured)

    def defuse(self, said: Saying, calls: Sequence[Call]) -> Settled:
        """Make inert what gptme would run beside ``calls``, and what kills it when shown.

        See the modules ``defuse`` and ``markup``.
        """
        from gptme_reliability.surfaces.gptme.defuse import defuse
        from gptme_reliability.surfaces.gptme.markup import tame

        # The answer is about to be shown where the status stands.
        self.answering()
        strict = said.streamed and _parses_while_streaming()
        reasoning, text, repairs = defuse(
            said.reasoning,
            said.text,
            calls,
            streamed=said.streamed,
            strict=strict,
            shown=said.shown,
        )
        if not said.streamed:
            text, marks = tame(text)
            repairs += marks
        return reasoning, text, repairs

    def settle_text(self, said: Saying, written: Sequence[str], form: HostFormat) -> Settled:
        """Make sure that gptme runs the calls ``written`` in the text and nothing else."""
        from gptme_reliability.surfaces.gptme.in_text import settle
        from gptme_reliability.surfaces.gptme.markup import tame_beside

        self.answering()
        reasoning, text, repairs = settle(
            said.reasoning, said.text, written, form, streamed=said.streamed, shown=said.shown
        )
        if not said.streamed:
            text, marks = tame_beside(text, written)
            repairs += marks
        return reasoning, text, repairs

    def runnable_tag(self, tag: str) -> bool:
        """Whether gptme would run a fence with this tag."""
        from gptme_reliability.surfaces.gptme.defuse import runnable_tag

        return runnable_tag(tag)

    def usable_id(self, call_id: str) -> bool:
        """Whether gptme can read a call with this id back from its log."""
        return _CALL_ID.fullmatch(call_id) is not None

    def asking_again(self, attempt: int, retries: int, verdict: Retry) -> None:
        """Show that a re-ask runs."""
        from gptme_reliability.surfaces.gptme import notices

        notices.show_status(notices.asking(attempt, retries, verdict))

    def answering(self) -> None:
        """Make room for what is about to be shown."""
        from gptme_reliability.surfaces.gptme import notices

        notices.clear_status()

    def done(self, report: Report) -> None:
        """Tell, count and trace what was done; never raises."""
        try:
            _account(report)
        # The answer is on its way to the user; nothing about bookkeeping may stop it.
        except Exception:
            logger.warning("reliability: a decision could not be recorded", exc_info=True)


host: Final = GptmeHost()


def _full_name(provider: str, body: Mapping[str, Any]) -> str:
    """The model as gptme's user knows it: through a proxy Anthropic's go by their full name."""
    name = str(body.get("model"))
    return f"{provider}/{name.removeprefix('anthropic/') if provider == 'anthropic' else name}"


_IN_WORDS: Final = frozenset({"re_ask", "resample"})


def in_words(policy: Policy) -> Policy:
    """The policy without the ways of asking that need native tools."""
    rungs = tuple(rung for rung in policy.rungs if rung in _IN_WORDS)
    return replace(policy, rungs=rungs, respond=False, force=False)


_HARD_WIRED: Final = {"temperature": ("TEMPERATURE", 0), "top_p": ("TOP_P", 0.1)}
"""What gptme sends for every model where nobody says anything, and how to say something.

Source: gptme 0.35.1, ``constants.py`` and ``config/chat.py``.
"""


def _said(body: Mapping[str, Any]) -> dict[str, Any]:
    """What of a body the user set, as opposed to gptme."""
    from gptme.config import get_config

    chat = getattr(get_config(), "chat", None)
    said = dict(body)
    for key, (variable, default) in _HARD_WIRED.items():
        chosen = variable in os.environ or getattr(chat, key, None) is not None
        if said.get(key) == default and not chosen:
            del said[key]
    return said


def _note(agreements: dict[str, Agreement], agreement: Agreement) -> None:
    if agreements.get(agreement.model) == agreement:
        return
    agreements[agreement.model] = agreement
    from gptme_reliability.surfaces.gptme import notices, trace

    loaded = _loaded(agreement.model)
    if loaded is None:
        return
    if loaded.values["notice"]:
        for notice in agreement.contract.notices:
            notices.say_once(notice.text)
        for loss in agreement.wire.not_applied:
            how = f"; {loss.how}" if loss.how else ""
            notices.say_once(f"{loss.parameter} = {loss.value} is not applied: {loss.why}{how}")
    if loaded.values["trace"] != "off":
        trace.append(trace.sampling_record(agreement, conversation()))


def is_self_hosted(provider: str) -> bool:
    """Whether the user runs the server, or at least said where it is."""
    from gptme.llm.models import is_custom_provider

    return provider == "local" or is_custom_provider(provider)


def _account(report: Report) -> None:
    from gptme_reliability.surfaces.gptme import notices, trace
    from gptme_reliability.surfaces.gptme.ledger import ledger

    notices.clear_status()
    loaded = _loaded(report.settings.model)
    where = conversation()
    ledger.note(where, report)
    line = notices.summary(report)
    # Who interrupts knows it.
    told = loaded is None or loaded.values["notice"]
    if line and told and not report.interrupted:
        notices.say(line, in_text=_text_may_be_shown(report))
    level = loaded.values["trace"] if loaded else "on"
    if level != "off":
        try:
            trace.append(trace.record(report, where, full=level == "full"))
        except OSError as error:
            notices.say_once(f"the trace {trace.path()} cannot be written: {error.strerror}")


def _text_may_be_shown(report: Report) -> bool:
    attempts = report.outcome.attempts if report.outcome else ()
    said = any(attempt.output.text or attempt.output.reasoning for attempt in attempts)
    return report.streamed and (said or report.outcome is None)


def _loaded(model: str) -> ModelConfig | None:
    """The settings for a model; None, and one line to the user, when they are wrong."""
    from gptme.config import get_config

    from gptme_reliability.surfaces.gptme import config, notices, seams

    if seams.why_off():
        return None
    try:
        return config.load(get_config(), model)
    except ConfigError as error:
        notices.say_once(f"{error} (the plugin is off until this is mended)")
        return None


def _stops_at_a_call(body: Mapping[str, Any]) -> bool:
    """Whether gptme stops reading at the first call in a text; its server always does."""
    from gptme.config import get_config

    if in_server():
        return True
    return body.get("stream") is True and get_config().get_env_bool(f"GPTME_{_BREAK}") is not False


class _Ours(str):
    """A setting of gptme that this plugin made, as opposed to the user."""


def let_all_calls_run(model: str | None) -> None:
    """Keep gptme from dropping all calls but the first of a streamed answer.

    For models that it does not know to make several calls, gptme stops reading at the first
    one.  The answers of enabled models arrive complete and checked, so it may read on; what the
    user set about this stands.
    """
    from gptme.config import get_config
    from gptme.tools import get_tool_format

    config = get_config()
    wanted = get_tool_format() == "tool" and _is_on(model)
    overrides = getattr(config, "env_overrides", None)
    # gptme before 0.35 has no settings that hold for one session only.
    where = os.environ if overrides is None else overrides
    key = f"GPTME_{_BREAK}" if overrides is None else _BREAK
    if wanted and not config.get_env(f"GPTME_{_BREAK}"):
        where[key] = _Ours("0")
        if overrides is None:
            _in_environment.add(key)
    elif not wanted and (key in _in_environment or isinstance(where.get(key), _Ours)):
        where.pop(key, None)
        _in_environment.discard(key)


_in_environment: set[str] = set()


def is_enabled(model: str | None) -> bool:
    """Whether a model's requests are looked at; None is the current one."""
    found = settings_of(model)
    return found is not None and bool(found.values["enabled"])


def settings_of(model: str | None) -> ModelConfig | None:
    """The settings for a model, None for the session's; None when they are wrong."""
    from gptme.llm.models import get_default_model

    if model is None:
        default = get_default_model()
        model = default.full if default else ""
    return _loaded(model)


def _is_on(model: str | None) -> bool:
    """Whether a model's answers are changed, and not only observed."""
    found = settings_of(model)
    return found is not None and found.values["enabled"] and found.values["mode"] == "on"


def _parses_while_streaming() -> bool:
    """Whether gptme may stop an answer at a call before it has seen all of it."""
    from gptme.config import get_config

    config = get_config()
    if in_server():
        # The server reads native answers to their end since 0.35.
        return not hasattr(config, "env_overrides")
    return config.get_env_bool(f"GPTME_{_BREAK}") is not False
