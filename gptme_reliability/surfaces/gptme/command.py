"""``/reliability``: what is on, for which model, since when it matters, and what was done."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

from gptme_reliability.errors import ConfigError
from gptme_reliability.surfaces.gptme import config as settings
from gptme_reliability.surfaces.gptme import registry, seams, trace
from gptme_reliability.surfaces.gptme.current import conversation
from gptme_reliability.surfaces.gptme.host import host, is_self_hosted
from gptme_reliability.surfaces.gptme.ledger import ledger
from gptme_reliability.surfaces.gptme.notices import printable

_WIDTH: Final = 14


def run(context: Any) -> Iterator[Any]:
    """Show the state.

    It is printed, and the conversation stays as it was.  In a server nobody sees what is
    printed, and its clients were told of the command already: there it is a message.
    """
    if _in_request():
        from gptme.message import Message

        lines = "\n".join(map(printable, describe()))
        yield Message("system", f"```text\n{lines}\n```")
        return
    context.manager.undo(1, quiet=True)
    context.manager.write()
    for line in describe():
        print(printable(line))


def _in_request() -> bool:
    """Whether a client of gptme's server asks."""
    flask = sys.modules.get("flask")
    return flask is not None and bool(flask.has_request_context())


def describe() -> Iterator[str]:
    """The lines that ``/reliability`` prints."""
    from gptme.config import get_config
    from gptme.llm.models import get_default_model

    config = get_config()
    model = get_default_model()
    name = model.full if model else ""
    yield _row("model", name or "none chosen yet")
    yield from _state(config, name)
    for layer, file in settings.files(config).items():
        yield _row(f"{layer} config", file)
    check = registry.self_check()
    yield _row("clients", ("ok: " if check.ok else "PROBLEM: ") + check.summary)
    for provider, state in check.clients.items():
        yield _row("", f"{provider}: {state}")
    yield from _history()
    yield _row("trace", str(trace.path()))


def _state(config: Any, model: str) -> Iterator[str]:
    if why := seams.why_off():
        yield _row("state", f"off for this session: {why}")
        return
    try:
        loaded = settings.load(config, model)
    except ConfigError as error:
        yield _row("state", "off, the config is wrong")
        yield _row("", str(error))
    else:
        yield from _settings(loaded)
        yield from _sampling(model)
        yield _row("probe", _probed(model))
        yield _row("known", _known(loaded, model))


def _settings(loaded: settings.ModelConfig) -> Iterator[str]:
    values = loaded.values
    if not values["enabled"]:
        yield _row("state", "off for this model; set enabled = true under [plugin.reliability]")
    elif values["mode"] == "observe":
        yield _row("state", "observing: verdicts are recorded, answers stay as they are")
    else:
        yield _row("state", "on")
    for key, value in values.items():
        shown = _shown(value)
        source = loaded.sources.get(key, "default")
        yield _row("", f"{key} = {shown}  ({source})")
    for complaint in loaded.complaints:
        yield _row("ignored", complaint)


def _sampling(model: str) -> Iterator[str]:
    agreement = host.agreements.get(model)
    if agreement is None:
        yield _row("sampling", "nothing agreed yet: no request, or contracts are off for it")
        return
    from gptme_reliability.surfaces.sampling import describe

    label = "sampling"
    for line in describe(agreement):
        yield _row(label, line)
        label = ""


def _probed(model: str) -> str:
    from gptme_reliability.surfaces.gptme.probed import of_model

    try:
        found = of_model(model, host.agreements.get(model))
    # What is shown here must not keep the rest from being shown.
    except Exception as error:
        return f"cannot be read ({type(error).__name__})"
    if found.card is None:
        return found.notice or "no card read: gptme-reliability probe URL writes one"
    facts = {"native_tools": found.facts.native_tools, "tool_choice": found.facts.tool_choice}
    facts["response_format"] = found.facts.response_format
    words = [f"{name} = {str(value).lower()}" for name, value in facts.items() if value is not None]
    return f"{found.card.probed.date().isoformat()}: {', '.join(words) or 'nothing is sure'}"


def _known(loaded: settings.ModelConfig, model: str) -> str:
    """What the settings, a probe, the card and the name say of the model, taken together."""
    from gptme_reliability.respond import is_small
    from gptme_reliability.surfaces.facts import known
    from gptme_reliability.surfaces.gptme.probed import found

    agreement = host.agreements.get(model)
    facts = known(model, loaded.facts, agreement, found(model, agreement))
    said = {name: getattr(facts, name) for name in ("family", "size_b", "quant", "mode")}
    words = [
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in said.items()
        if value is not None
    ]
    talks = loaded.values["respond"]
    if talks is None:
        talks = is_self_hosted(model.partition("/")[0]) and is_small(facts)
    gets = "gets" if talks else "does not get"
    return f"{', '.join(words) or 'nothing'}; {gets} the tool for talking, in tool format tool"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    # A table holds names of tools, as they are written.
    return str(value) if isinstance(value, dict) else str(value).lower()


def _history() -> Iterator[str]:
    account = ledger.account(conversation())
    counts = [f"{count} {what}" for what, count in account.counts.items() if count]
    yield _row("so far", ", ".join(counts) or "no answer checked in this conversation")
    for when, line in account.events:
        yield _row(when, line)


def _row(label: str, text: str) -> str:
    return f"{label:{_WIDTH}} {text}"
