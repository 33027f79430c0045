"""Classes of rows whose calls run: sound ones, and those with one clear repair."""

from __future__ import annotations

import json
from typing import Any

from family_data import CODE, EMPTY, FOREIGN, LEADS, LEAKED, PLAIN, THOUGHTS, TYPED, UNICODE
from family_maker import Maker, defect
from family_writers import NamedCall

JSON_UNLESS_TEXT = frozenset(
    ("glm45", "glm47", "poolside", "hy_v3", "deepseek_dsml", "kimi_k3", "muse_glimmer")
)
UNOFFERED_KEY = ("mood", "calm")


@defect("plain", 2)
def plain(m: Maker) -> None:
    call = m.pick()
    m.add("accept", m.family.write(call), [call], finish="stop")


@defect("lead_in", 3)
def lead_in(m: Maker) -> None:
    call = m.pick()
    raw = m.family.lead.format(text=m.words(LEADS), call=m.family.write(call))
    m.add("accept", raw, [call], finish="stop")


@defect("two_calls")
def two_calls(m: Maker) -> None:
    if m.family.many:
        calls = m.two()
        m.add("accept", m.family.write(*calls), calls, finish="stop")


@defect("duplicate", 1)
def duplicate(m: Maker) -> None:
    if m.family.many:
        call = m.pick()
        m.add("accept", m.family.write(call, call), [call], finish="stop")


@defect("no_arguments")
def no_arguments(m: Maker) -> None:
    call: NamedCall = (m.words(EMPTY), {})
    m.add("accept", m.family.write(call), [call], offer=["get_weather"])


@defect("typed_values", 3)
def typed_values(m: Maker) -> None:
    call = m.pick(TYPED)
    m.add("accept", m.family.write(call), [call], finish="stop")


@defect("unicode")
def unicode(m: Maker) -> None:
    call = m.pick(UNICODE)
    m.add("accept", m.family.write(call), [call])


def _backslashes_contested(m: Maker, value: str) -> bool:
    """Whether servers disagree on what an escape in this family's strings means."""
    return m.family.id == "lfm2" and any(char in value for char in "\n\t\\'")


@defect("code_value", 2)
def code_value(m: Maker) -> None:
    usable = [c for c in CODE if not any(_backslashes_contested(m, v) for v in c[1].values())]
    call = m.pick(usable)
    m.add("accept", m.family.write(call), [call], finish="stop")


@defect("foreign_markers", 2)
def foreign_markers(m: Maker) -> None:
    call: NamedCall = ("save", {"path": "notes.md", "content": m.words(FOREIGN)})
    m.add("accept", m.family.write(call), [call], finish="stop")


@defect("own_markers")
def own_markers(m: Maker) -> None:
    """A value that holds the family's whole notation, where the notation can hold it."""
    family = m.family
    if not family.own_markers:
        return
    quoted = family.mention
    if family.style in ("json", "python"):
        quoted = family.write(("look_up", {"query": "moss"})).strip()
    if _backslashes_contested(m, quoted):
        quoted = family.mention
    value = f"It starts with {quoted} and {family.ends or family.mention} is its end."
    call: NamedCall = ("save", {"path": "format.md", "content": value})
    m.add("accept", family.write(call), [call], offer=["look_up"], finish="stop")


@defect("text_around_whitespace", 1)
def text_around_whitespace(m: Maker) -> None:
    call = m.pick()
    m.add("accept", f"\n\n{m.family.write(call)}\n\n", [call], finish="stop")


@defect("indented_json", 1)
def indented_json(m: Maker) -> None:
    _, args = call = m.pick(TYPED)
    written = json.dumps(args, ensure_ascii=False)
    raw = m.family.write(call)
    if m.family.style == "json" and written in raw:
        spread = json.dumps(args, ensure_ascii=False, indent=2)
        m.add("accept", raw.replace(written, spread), [call], finish="stop")


@defect("compact_json", 1)
def compact_json(m: Maker) -> None:
    _, args = call = m.pick(TYPED)
    written = json.dumps(args, ensure_ascii=False)
    raw = m.family.write(call)
    if m.family.style == "json" and written in raw:
        dense = json.dumps(args, ensure_ascii=False, separators=(",", ":"))
        m.add("accept", raw.replace(written, dense), [call])


@defect("leaked_token")
def leaked_token(m: Maker) -> None:
    call = m.pick()
    m.add("accept", m.family.write(call) + m.words(LEAKED), [call], finish="stop")


@defect("ascii_bars")
def ascii_bars(m: Maker) -> None:
    call = m.pick()
    raw = m.family.write(call)
    if "｜" not in raw:
        return
    ascii_marks = raw.replace("｜", "|").replace("▁", "_")
    m.add("accept", ascii_marks, [call], finish="stop")
    m.add("accept", raw.replace("｜", "|"), [call])
    if m.family.id == "deepseek_dsml":
        m.add("accept", raw.replace("｜", "｜｜"), [call])
        m.add("accept", raw.replace("｜", "‖"), [call])


@defect("missing_close", 2)
def missing_close(m: Maker) -> None:
    call = m.pick()
    raw = m.family.write(call)
    for closing in m.family.closes:
        for finish in m.each("stop", None):
            m.add("accept", raw.removesuffix(closing), [call], finish=finish)


@defect("missing_brackets")
def missing_brackets(m: Maker) -> None:
    """All values complete, brackets and markers behind them left out, the end its own."""
    call = m.pick()
    raw = m.family.write(call)
    if m.family.style == "json" and m.family.variant != "array":
        m.add("accept", raw[: raw.rindex('"') + 1], [call], finish="stop")


@defect("length_at_close", 2)
def length_at_close(m: Maker) -> None:
    """The limit struck behind a call that its marker had closed: the call is complete."""
    if m.family.ends:
        call = m.pick()
        m.add("accept", m.family.write(call), [call], finish="length")


def _gap(m: Maker) -> str:
    """What stands between reasoning and a call; some notations begin on a line of their own."""
    if m.family.answer != "{text}" and not m.family.orphan:
        return ""
    return m.words(("", "\n", "\n\n") if m.family.marked else ("\n", "\n\n"))


@defect("closed_reasoning_then_call", 2)
def closed_reasoning_then_call(m: Maker) -> None:
    opening, closing = m.family.think
    call = m.pick()
    thought = m.words(THOUGHTS)
    raw = f"{opening}{thought}{closing}{_gap(m)}{m.family.write(call)}"
    m.add("accept", raw, [call], finish="stop")


@defect("orphan_close_then_call", 2)
def orphan_close_then_call(m: Maker) -> None:
    if m.family.orphan:
        closing = m.family.think[1]
        call = m.pick()
        raw = f"{m.words(THOUGHTS)}\n{closing}\n\n{m.family.write(call)}"
        m.add("accept", raw, [call], finish="stop")


@defect("open_reasoning_then_call", 2)
def open_reasoning_then_call(m: Maker) -> None:
    """Reasoning that never closed, then a marked call: the marker ends the reasoning."""
    if m.family.marked and m.family.orphan and m.family.id != "apriel":
        call = m.pick()
        raw = f"{m.family.think[0]}{m.words(THOUGHTS)}\n{m.family.write(call)}"
        m.add("accept", raw, [call], finish="stop")


@defect("reasoning_quotes_then_call", 1)
def reasoning_quotes_then_call(m: Maker) -> None:
    opening, closing = m.family.think
    thought, call = m.two()
    quoted = m.family.write(thought).strip()
    if "`" in quoted:
        quoted = f"\n{quoted}\n"
    raw = f"{opening}Perhaps {quoted} first? No, that is not needed.{closing}{_gap(m)}"
    m.add("accept", raw + m.family.write(call), [call], offer=[thought[0]], finish="stop")


def _named(m: Maker, change: Any, *, table: Any = PLAIN) -> None:
    name, args = m.pick(table)
    m.add("accept", m.family.write((change(name), args)), [(name, args)], finish="stop")


@defect("name_case", 2)
def name_case(m: Maker) -> None:
    _named(m, lambda name: name.title())
    if m.family.id in ("hermes", "qwen3_coder", "mistral"):
        _named(m, str.upper)


@defect("name_prefix", 1)
def name_prefix(m: Maker) -> None:
    if m.family.id not in ("kimi_k2", "harmony", "chatml_fc"):
        _named(m, lambda name: f"functions.{name}")


@defect("extra_argument", 2)
def extra_argument(m: Maker) -> None:
    """An undeclared argument that the closed schema does not admit, all required ones there."""
    name, args = call = m.pick()
    key, value = UNOFFERED_KEY
    m.add("accept", m.family.write((name, {key: value, **args})), [call], finish="stop")


@defect("text_for_number", 2)
def text_for_number(m: Maker) -> None:
    if m.family.style == "text" and m.family.id not in ("deepseek_dsml", "kimi_k3"):
        return
    args: dict[str, Any] = {"label": "Nap", "hour": m.rng.randrange(24)}
    wrong = {**args, "hour": str(args["hour"])}
    m.add("accept", m.family.write(("set_alarm", wrong)), [("set_alarm", args)], finish="stop")


@defect("text_for_boolean", 1)
def text_for_boolean(m: Maker) -> None:
    word = "True" if m.family.style == "text" else "true"
    args = {"recipient": "Ines Prado", "zip": "28004", "express": True}
    raw = m.family.write(("send_parcel", {**args, "express": word}))
    m.add("accept", raw, [("send_parcel", args)], finish="stop")


@defect("text_for_list", 1)
def text_for_list(m: Maker) -> None:
    args = {"origin": "GOT", "destination": "VIE", "cabins": ["economy"]}
    wrong = {**args, "cabins": '["economy"]'}
    m.add("accept", m.family.write(("find_flights", wrong)), [("find_flights", args)])


@defect("whole_float_for_integer", 1)
def whole_float_for_integer(m: Maker) -> None:
    """A JSON schema counts 5.0 as an integer: valid means untouched.  Text is read as one."""
    if m.family.id in JSON_UNLESS_TEXT:  # Whether 5.0 is JSON there or text is contested.
        return
    args = {"label": "Train", "hour": 5.0}
    typed = {**args, "hour": 5} if m.family.style == "text" else args
    m.add("accept", m.family.write(("set_alarm", args)), [("set_alarm", typed)])


@defect("broken_json", 1)
def broken_json(m: Maker) -> None:
    """JSON with slips that leave one reading."""
    _, args = call = m.pick()
    raw = m.family.write(call)
    written = json.dumps(args, ensure_ascii=False)
    if m.family.style != "json" or raw.count(written) != 1:
        return
    unquoted = ", ".join(f"{k}: {json.dumps(v, ensure_ascii=False)}" for k, v in args.items())
    for slip in m.each(f"{written[:-1]},}}", repr(args), f"{{{unquoted}}}"):
        m.add("accept", raw.replace(written, slip), [call], finish="stop")


@defect("python_literals", 1)
def python_literals(m: Maker) -> None:
    args = {"label": "Vote", "hour": 9, "weekly": False}
    raw = m.family.write(("set_alarm", args))
    if m.family.style in ("json", "text", "literal") and raw.count("false") == 1:
        m.add("accept", raw.replace("false", "False"), [("set_alarm", args)], finish="stop")


@defect("arguments_as_text", 1)
def arguments_as_text(m: Maker) -> None:
    """The arguments' object as a JSON string."""
    _, args = call = m.pick()
    raw = m.family.write(call)
    written = json.dumps(args, ensure_ascii=False)
    if m.family.id == "apertus":  # The name is the key: text there is no call's arguments.
        return
    if m.family.style == "json" and raw.count(written) == 1 and f'": {written}' in raw:
        m.add("accept", raw.replace(written, json.dumps(written)), [call], finish="stop")


@defect("stream_split", 1)
def stream_split(m: Maker) -> None:
    """Chunks that part a marker, an escape or a closing sequence."""
    call = m.pick(UNICODE)
    raw = m.family.lead.format(text=m.words(LEADS), call=m.family.write(call))
    size = m.rng.choice((4, 7, 11))
    chunks = [raw[at : at + size] for at in range(0, len(raw), size)]
    m.add("accept", raw, [call], finish="stop", stream=chunks)
