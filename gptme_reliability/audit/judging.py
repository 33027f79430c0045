"""What failed in an exchange, by the format in which its calls stand."""

from __future__ import annotations

from gptme_reliability.audit.classes import stage_of_class
from gptme_reliability.audit.failure import Case, Failure, Judged
from gptme_reliability.audit.native_judging import judge_native, judge_without_calls
from gptme_reliability.audit.prose import runs_a_block
from gptme_reliability.audit.setting import Format
from gptme_reliability.audit.stored_calls import stored_calls
from gptme_reliability.audit.text_judging import judge_in_text
from gptme_reliability.dialects.host_tags import own_tags


def judge(case: Case, form: Format) -> Judged:
    """Judge an exchange; nothing that stands in a log raises."""
    if case.exchange.answer.degenerate:
        return Judged((Failure("degenerate", stage_of_class("degenerate")),))
    if form == "markdown":
        return judge_in_text(case, case.setting.markdown)
    if form == "xml":
        return judge_in_text(case, case.setting.xml)
    calls = stored_calls(case.text, case.setting.tools)
    return judge_native(case, calls) if calls else judge_without_calls(case)


def format_shown(case: Case) -> Format | None:
    """The format that the exchange shows by itself; None where it shows none."""
    exchange, setting = case.exchange, case.setting
    if any(result.call_id for result in exchange.results):
        return "tool"
    if not exchange.results or exchange.behind == "nudge":
        return None
    if any(True for _ in own_tags(case.text, setting.xml)):
        return "xml"
    return "markdown" if runs_a_block(case.text, setting.markdown) else None


def judge_blindly(case: Case) -> Judged:
    """Judge an exchange whose format nobody knows: a fault is no more than a doubt."""
    judged = judge(case, "tool")
    return Judged(doubtful=bool(judged.failures) or judged.doubtful)
