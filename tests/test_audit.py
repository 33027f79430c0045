"""``audit``: labelled logs of gptme, what failures cost, and what is advised."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Iterator
from typing import Any, Final

import pytest
from audit_logs import LEAK, LEAKED, ROWS, TOOLS, found, read
from hypothesis import given
from hypothesis import strategies as st

from gptme_reliability.audit.advice import advise
from gptme_reliability.audit.classes import CLASSES, STAGES
from gptme_reliability.audit.conversation import Conversation
from gptme_reliability.audit.counting import Tally
from gptme_reliability.audit.reading import Message, read_message
from gptme_reliability.audit.setting import setting_of
from gptme_reliability.surfaces.schema import checked

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


# --- what is a failure --------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_row(row: dict[str, Any]) -> None:
    """A log has the failures that its label says, and no others."""
    assert found(read(row["log"], row["format"])) == sorted(row["failures"])


def test_the_table_has_what_it_promises() -> None:
    """All formats, many clean logs, every class, few known misses."""
    assert {row["format"] for row in ROWS} == {"tool", "markdown", "xml"}
    assert sum(not row["failures"] and "missed" not in row for row in ROWS) >= 40
    assert {kind for row in ROWS for kind, _, _ in row["failures"]} == set(CLASSES)
    assert {stage for row in ROWS for _, stage, _ in row["failures"]} == set(STAGES)
    assert sum("missed" in row for row in ROWS) <= 1


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_without_a_config_the_messages_show_the_format(row: dict[str, Any]) -> None:
    """A clean log is clean although nothing says which format it has."""
    if not row["failures"]:
        assert found(read(row["log"], None)) == []


_TEXTS: Final = st.text(max_size=40) | st.sampled_from(
    [m["content"] for row in ROWS for m in row["log"]]
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant", "system"]), "content": _TEXTS},
            optional={
                "call_id": st.sampled_from(["c1", "call_0", ""]) | st.integers(),
                "metadata": st.dictionaries(
                    st.sampled_from(["tool", "model", "usage", "error", "degeneration"]),
                    st.none() | st.booleans() | st.text(max_size=5) | st.just({"output_tokens": 2}),
                ),
            },
        ),
        max_size=12,
    ),
    st.sampled_from(["tool", "markdown", "xml", None]),
)
def test_whatever_stands_in_a_log(log: list[dict[str, Any]], form: str | None) -> None:
    """No log raises, and every figure adds up."""
    tally = read(log, form)
    assert tally.messages == len(log)
    assert tally.total == tally.failures.total() == sum(tally.stages().values())
    assert sum(e.tokens for e in tally.costliest) <= tally.wasted_tokens.total()


def test_many_calls_without_an_end() -> None:
    """Each of them could reach to the end of the text; no more than some are looked at."""
    text = "\n".join(f'@shell(c{index}): {{"command": "x' for index in range(2_000))
    tally = read([*LEAKED[:1], {"role": "assistant", "content": text}, *LEAKED[:1]])
    assert tally.stages()["enforce"] >= 190
    assert tally.total <= 200


# --- what it costs ------------------------------------------------------------------------


def test_what_a_stretch_costs() -> None:
    """From the failed answer up to the next one without a fault, which is no waste itself."""
    (example,) = read(LEAKED).costliest
    wasted = LEAKED[1:5]
    assert (example.line, example.messages, example.failures) == (2, 4, 2)
    assert example.tokens == sum(-(-len(message["content"]) // 4) for message in wasted)
    assert example.recovered and example.excerpt == LEAK


def test_the_servers_figures_count_before_an_estimate() -> None:
    """Output tokens are those of the log where it has them, in its old place, too."""
    for metadata in ({"usage": {"output_tokens": 70}}, {"output_tokens": 70}):
        log: list[dict[str, Any]] = [LEAKED[0], {**LEAKED[1], "metadata": metadata}]
        (example,) = read(log).costliest
        assert example.tokens == 70 and not example.recovered


def test_a_user_who_moves_on_ends_it() -> None:
    """Talk about something else is no waste, even if no call ever runs again."""
    talk = [{"role": "user", "content": "And what is 6 times 7?"}, LEAKED[7]] * 20
    (example,) = read([*LEAKED[:2], *talk]).costliest
    assert example.recovered and example.messages == 2


def test_talk_does_not_end_it_where_a_call_was_asked_for() -> None:
    """What the host asks for a call is answered by a call alone."""
    (example,) = read([*LEAKED[:3], LEAKED[7]]).costliest
    assert not example.recovered and example.messages == 3 and example.failures == 2


def test_memory_does_not_grow_with_the_log() -> None:
    """A log of twelve megabytes is read in a tenth of that."""
    size = 0

    def messages() -> Iterator[Message]:
        nonlocal size
        for index in range(1_200):
            message = dict(LEAKED[index % len(LEAKED)])
            if message["role"] == "system":
                message["content"] += f"\nline {index}" * 10_000
            line = json.dumps(message).encode()
            size += len(line)
            read = read_message(line, index)
            assert read is not None
            yield read

    setting = setting_of({"tool_format": "tool", "tools": TOOLS})
    tracemalloc.start()
    Conversation("log", setting, Tally(), redact=False).read(messages())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < size / 10


# --- what to switch on --------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_the_advice_is_a_config(row: dict[str, Any]) -> None:
    """The lines are TOML that the plugin takes, and there are none where nothing would help."""
    tally = read(row["log"] * 4, row["format"])
    for one in advise(tally):
        assert bool(one.config) == (one.helped > 0)
        table = tomllib.loads(one.config)
        if one.config:
            assert table["plugins"]["enabled"] == ["reliability"]
            section = checked(table["plugin"]["reliability"], "config.toml", "plugin.reliability")
            assert section.enabled is True


@pytest.mark.parametrize(
    ("model", "glob", "card"),
    [
        ("local/qwen3:8b", "local/qwen3:8b", True),
        ("local/mine[1]", "local/mine[[]1]", False),
    ],
)
def test_advice_for_a_model_that_only_talks(model: str, glob: str, card: bool) -> None:
    """It is offered a tool for talking; a name with signs of patterns matches itself alone."""
    log = [m for row in ROWS if row["id"] == "no-call/twice-nudged" for m in row["log"]] * 3
    for message in log:
        if message["role"] == "assistant":
            message["metadata"] = {"model": model}
    (one,) = advise(read(log))
    models = tomllib.loads(one.config)["plugin"]["reliability"]["models"]
    assert models == {glob: {"respond": True}}
    assert card == any("sampling card for Qwen3" in sentence for sentence in one.why)
