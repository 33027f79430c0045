"""Classes of rows in which something must not run: cut off, faulty, or only shown."""

from __future__ import annotations

from typing import Any

from family_data import (
    ANSWERS,
    DOCUMENTED,
    EXPLAINED,
    FENCED,
    HINTED,
    INLINE,
    LEADS,
    MENTIONED,
    MISLEADING,
    PLAIN,
    REASONING,
    REFUSED,
    RISKY,
    THOUGHTS,
)
from family_maker import BIG, Maker, defect
from family_writers import NamedCall

# Every prefix of these would be a plausible value, and a harmful one.
CUT_VALUES = (
    ("shell", {"command": "rm -rf /home/mira/projects/old/target"}, "/projects/old/target"),
    ("save", {"path": "/etc/hosts.d/local.conf", "content": "10.0.0.8 printer.lan"}, "er.lan"),
    ("read", {"path": "reports/2031/summary.txt"}, "/summary.txt"),
    ("send_parcel", {"zip": "1010", "recipient": "Dr. Hollenstein-Marti"}, "-Marti"),
)


def _cut_inside(m: Maker) -> tuple[str, str]:
    """A whole answer cut inside its last value, and the tool's name."""
    name, args, rest = m.rng.choice(CUT_VALUES)
    raw = m.family.write((name, args))
    return raw[: raw.rindex(rest)], name


@defect("cut_in_value", 2)
def cut_in_value(m: Maker) -> None:
    raw, name = _cut_inside(m)
    for finish in m.each("length", None, "stop"):
        m.add("retry", raw, offer=[name], finish=finish)


@defect("cut_in_value_after_lead", 1)
def cut_in_value_after_lead(m: Maker) -> None:
    raw, name = _cut_inside(m)
    raw = m.family.lead.format(text=m.words(LEADS), call=raw)
    m.add("retry", raw, offer=[name], finish="length")


@defect("cut_anywhere", 6)
def cut_anywhere(m: Maker) -> None:
    """Any prefix that names the tool and does not close the call."""
    name, args, _ = m.rng.choice(CUT_VALUES)
    raw = m.family.write((name, args))
    last = list(args.values())[-1]
    first = raw.index(name) + len(name) + 2
    at = m.rng.randrange(first, raw.rindex(last) + len(last))
    m.add("retry", raw[:at], offer=[name], finish=m.rng.choice(("length", "disconnected")))


@defect("cut_in_number", 1)
def cut_in_number(m: Maker) -> None:
    """A number without what ends it may go on: 1 may have become 17."""
    call: NamedCall = ("set_alarm", {"label": "Ferry", "hour": 17})
    raw = m.family.write(call)
    for finish in m.each("length", None):
        m.add("retry", raw[: raw.rindex("17") + 1], offer=["set_alarm"], finish=finish)


@defect("cut_before_required", 2)
def cut_before_required(m: Maker) -> None:
    """The first value complete, the second, required one not begun."""
    call: NamedCall = ("send_parcel", {"recipient": "Tove Holm", "zip": "0150"})
    raw = m.family.write(call)
    at = raw.rindex("zip") - 2
    for finish in m.each("length", "stop"):
        m.add("retry", raw[: at + 4], offer=["send_parcel"], finish=finish)


@defect("cut_in_optional", 2)
def cut_in_optional(m: Maker) -> None:
    """All required values complete, an optional one cut: what it would have said is unknown."""
    call: NamedCall = ("get_weather", {"city": "Tromsø", "unit": "fahrenheit"})
    raw = m.family.write(call)
    for finish in m.each("length", None):
        m.add("retry", raw[: raw.index("renheit")], offer=["get_weather"], finish=finish)


@defect("cut_behind_comma", 2)
def cut_behind_comma(m: Maker) -> None:
    """What the comma announces did not come, though all that is required is there."""
    call: NamedCall = ("get_weather", {"city": "Tromsø", "unit": "fahrenheit"})
    raw = m.family.write(call)
    if m.family.style != "text":
        cut = raw[: raw.index("unit")].rstrip("\"' \n")
        for finish in m.each("length", None):
            m.add("retry", cut, offer=["get_weather"], finish=finish)


@defect("cut_in_name", 1)
def cut_in_name(m: Maker) -> None:
    if m.family.marked:
        raw = m.family.write(("find_flights", {"origin": "AMS", "destination": "ATH"}))
        at = raw.rindex("find_flights") + 7
        m.add("retry", raw[:at], offer=["find_flights"], finish="length")


@defect("cut_in_second", 2)
def cut_in_second(m: Maker) -> None:
    """The first call stands, the second is asked for again."""
    if not m.family.many:
        return
    first = m.pick(PLAIN[:4])
    name, args, rest = m.rng.choice(CUT_VALUES)
    raw = m.family.write(first, (name, args))
    for finish in m.each("length", None):
        m.add("retry", raw[: raw.rindex(rest)], [first], offer=[name], finish=finish)


@defect("length_without_close", 2)
def length_without_close(m: Maker) -> None:
    """Somebody said that the output was cut, and the closing marker is not there."""
    call = m.pick()
    raw = m.family.write(call)
    for closing in m.family.closes[-1:]:
        for finish in m.each("length", "max_tokens"):
            m.add("retry", raw.removesuffix(closing), offer=[call[0]], finish=finish)


@defect("length_in_close", 2)
def length_in_close(m: Maker) -> None:
    """The limit struck inside the call's closing marker: it is not there either."""
    call = m.pick()
    raw = m.family.write(call)
    for closing in m.family.closes[-1:]:
        begun = raw.removesuffix(closing) + closing.lstrip("\n")[: m.rng.choice((1, 2, 4))]
        m.add("retry", begun, offer=[call[0]], finish="length")


@defect("length_without_brackets", 1)
def length_without_brackets(m: Maker) -> None:
    call = m.pick()
    raw = m.family.write(call)
    if m.family.style == "json" and m.family.variant != "array":
        cut = raw[: raw.rindex('"') + 1]
        for finish in m.each("length", "disconnected"):
            m.add("retry", cut, offer=[call[0]], finish=finish)


# --- faulty calls -------------------------------------------------------------------------


@defect("unknown_tool", 1)
def unknown_tool(m: Maker) -> None:
    call: NamedCall = ("launch_rocket", {"target": "Moon"})
    m.add("retry", m.family.write(call), offer=["get_weather"], finish="stop")


@defect("tool_elsewhere", 1)
def tool_elsewhere(m: Maker) -> None:
    """A tool of the same name in another place is another tool."""
    call: NamedCall = ("production.shell", {"command": "systemctl restart web"})
    m.add("retry", m.family.write(call), offer=["shell"], finish="stop")


@defect("missing_required", 1)
def missing_required(m: Maker) -> None:
    name, args = m.pick([c for c in PLAIN if len(c[1]) > 1])
    kept = dict(list(args.items())[:1])
    m.add("retry", m.family.write((name, kept)), offer=[name], finish="stop")


@defect("missing_all_required", 1)
def missing_all_required(m: Maker) -> None:
    name, _ = m.pick()
    m.add("retry", m.family.write((name, {})), offer=[name], finish="stop")


@defect("wrong_type", 1)
def wrong_type(m: Maker) -> None:
    """A word where a number should stand: nothing follows from it."""
    args: dict[str, Any] = {"label": "Tea", "hour": "soonish"}
    m.add("retry", m.family.write(("set_alarm", args)), offer=["set_alarm"], finish="stop")


@defect("wrong_enum", 1)
def wrong_enum(m: Maker) -> None:
    args = {"city": "Quito", "unit": "rankine"}
    m.add("retry", m.family.write(("get_weather", args)), offer=["get_weather"], finish="stop")


@defect("list_for_text", 1)
def list_for_text(m: Maker) -> None:
    """How the parts of a command belong together is not said."""
    args = {"command": ["rm", "-r", "my files"]}
    if m.family.style != "text":  # Between tags everything is text.
        m.add("retry", m.family.write(("shell", args)), offer=["shell"], finish="stop")


@defect("key_twice", 2)
def key_twice(m: Maker) -> None:
    """One argument, two values: which is meant is asked."""
    raw = m.family.write(("shell", {"command": "ls old", "COMMAND": "rm -r old"}))
    m.add("retry", raw.replace("COMMAND", "command"), offer=["shell"], finish="stop")


@defect("near_extra_argument", 1)
def near_extra_argument(m: Maker) -> None:
    """An undeclared argument almost named like a declared one: which is meant is asked."""
    args = {"command": "ls old", "comand": "rm -r old"}
    m.add("retry", m.family.write(("shell", args)), offer=["shell"], finish="stop")


@defect("restricting_argument", 1)
def restricting_argument(m: Maker) -> None:
    """To drop it would run more than was asked for."""
    args = {"command": "rm -r cache", "dry_run": True}
    m.add("retry", m.family.write(("shell", args)), offer=["shell"], finish="stop")


@defect("second_faulty", 2)
def second_faulty(m: Maker) -> None:
    if m.family.many:
        good = m.pick(PLAIN[:4])
        bad: NamedCall = ("set_alarm", {"label": "Dentist"})
        m.add("retry", m.family.write(good, bad), [good], offer=["set_alarm"], finish="stop")


@defect("first_faulty", 1)
def first_faulty(m: Maker) -> None:
    """The good call stands, of a tool of which nobody said that it writes."""
    if m.family.many:
        good = m.pick(PLAIN[:4])
        bad: NamedCall = ("send_parcel", {"zip": "9000"})
        m.add("retry", m.family.write(bad, good), [good], offer=["send_parcel"], finish="stop")


@defect("placeholder", 1)
def placeholder(m: Maker) -> None:
    """A call out of a template."""
    call: NamedCall = ("get_weather", {"city": "<city name>"})
    m.add("retry", m.family.write(call), offer=["get_weather"], finish="stop")


# --- shown, not made ----------------------------------------------------------------------


def _shown(m: Maker, phrase: str, **more: Any) -> None:
    """A text that shows a call, as the family writes its answers."""
    name, args = m.pick(RISKY)
    call = m.family.write((name, args)).strip()
    fence = "````" if "```" in call else "```"
    text = phrase.replace("%f", fence).replace("%c", call)
    raw = m.family.answer.replace("{text}", text)
    m.add("text", raw, offer=[name], finish="stop", **more)


@defect("explained", 3)
def explained(m: Maker) -> None:
    _shown(m, m.words(EXPLAINED))


@defect("documented", 3)
def documented(m: Maker) -> None:
    _shown(m, m.words(DOCUMENTED))


@defect("fenced_example", 2)
def fenced_example(m: Maker) -> None:
    _shown(m, m.words(FENCED))


@defect("inline_code", 2)
def inline_code(m: Maker) -> None:
    """In one line between backticks; a notation with backticks of its own cannot stand there."""
    if "`" not in m.family.write(RISKY[0]):
        name, args = m.pick(RISKY)
        call = m.family.write((name, args)).strip().replace("\n", " ")
        raw = m.family.answer.replace("{text}", m.words(INLINE).replace("%c", call))
        m.add("text", raw, offer=[name], finish="stop")


@defect("refused", 2)
def refused(m: Maker) -> None:
    _shown(m, m.words(REFUSED))


@defect("hinted", 6)
def hinted(m: Maker) -> None:
    """Two at a time: there are many ways to show a call."""
    for phrase in m.rng.sample(HINTED, 2):
        _shown(m, phrase, or_retry=True)


@defect("misleading_lead", 4)
def misleading_lead(m: Maker) -> None:
    """The words of an announcement, and no announcement."""
    for phrase in m.rng.sample(MISLEADING, 2 if m.family.id in BIG else 1):
        _shown(m, phrase, or_retry=True)


@defect("fenced_in_list", 1)
def fenced_in_list(m: Maker) -> None:
    """An example in a fence that is indented below a list's item."""
    name, args = m.pick(RISKY)
    call = m.family.write((name, args)).strip()
    lines = ["````", *call.splitlines(), "````"]
    item = "\n".join(f"  {line}" for line in lines)
    text = f"The two formats are:\n\n- the one with markers, for example\n\n{item}\n\n- plain JSON"
    raw = m.family.answer.replace("{text}", text)
    m.add("text", raw, offer=[name], finish="stop")


@defect("asking_leave", 1)
def asking_leave(m: Maker) -> None:
    _shown(m, "I could run the following, if you like:\n\n%c\n\nShall I?", or_retry=True)


@defect("in_invented_result", 1)
def in_invented_result(m: Maker) -> None:
    phrase = "<tool_response>\n%c\n</tool_response>\n\nThat is what the log file contains."
    _shown(m, phrase, or_retry=True)


@defect("closed_reasoning", 3)
def closed_reasoning(m: Maker) -> None:
    opening, closing = m.family.think
    name, args = m.pick(RISKY)
    thought = f"{m.words(THOUGHTS)}\n{m.family.write((name, args))}\nNo, better not."
    raw = opening + thought + closing + m.family.answer.replace("{text}", m.words(ANSWERS))
    m.add("text", raw, offer=[name], finish="stop")


@defect("other_reasoning", 2)
def other_reasoning(m: Maker) -> None:
    """Finetunes reason between other marks than the family's own."""
    opening, closing = m.rng.choice(REASONING)
    name, args = m.pick(RISKY)
    thought = f"{m.words(THOUGHTS)}\n{m.family.write((name, args))}\nNo, better not.\n"
    raw = f"{opening}\n{thought}{closing}\n\n{m.words(ANSWERS)}"
    m.add("text", raw, offer=[name], finish="stop")


@defect("orphan_close", 2)
def orphan_close(m: Maker) -> None:
    """Only the end of the reasoning is there: all that stands before it is reasoning."""
    if m.family.orphan:
        name, args = m.pick(RISKY)
        answer = m.family.answer.replace("{text}", m.words(ANSWERS))
        thought = f"{m.words(THOUGHTS)}\n{m.family.write((name, args))}\nNo, better not."
        m.add("text", f"{thought}\n{m.family.think[1]}\n\n{answer}", offer=[name], finish="stop")


@defect("no_tools", 1)
def no_tools(m: Maker) -> None:
    m.add("text", m.family.write(m.pick(RISKY)), finish="stop", tools=[])


@defect("marker_mentioned", 2)
def marker_mentioned(m: Maker) -> None:
    text = m.words(MENTIONED).replace("%m", m.family.mention)
    m.add("text", m.family.answer.replace("{text}", text), offer=["shell"], finish="stop")


@defect("plain_answer", 1)
def plain_answer(m: Maker) -> None:
    raw = m.family.answer.replace("{text}", m.words(ANSWERS))
    m.add("text", raw, offer=["get_weather"], finish="stop")


@defect("stream_shown", 1)
def stream_shown(m: Maker) -> None:
    name, args = m.pick(RISKY)
    call = m.family.write((name, args)).strip()
    fence = "````" if "```" in call else "```"
    text = m.words(FENCED).replace("%f", fence).replace("%c", call)
    raw = m.family.answer.replace("{text}", text)
    size = m.rng.choice((4, 7, 11))
    chunks = [raw[at : at + size] for at in range(0, len(raw), size)]
    m.add("text", raw, offer=[name], finish="stop", stream=chunks)
