"""The table of sentences: all that is ever said is in it, and comes out of it right."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from feedback_rows import LANGUAGES
from hypothesis import given, settings
from hypothesis import strategies as st

import gptme_reliability
from gptme_reliability.sentences import FAULTS, FRAME, HELD, KINDS
from gptme_reliability.types import Language
from gptme_reliability.words import fault, say


def sentences() -> list[tuple[str, str]]:
    """Every sentence that the stages may put into a violation, with 'X' where values go."""
    makers = {"Flaw", "Fault", "Broken", "_Broken", "_broken", "_cut_off", "Violation"}
    makers |= {"_violation", "_unreadable", "_about_names", "RefusedCall", "ValueError"}
    names = {"message", "reason", "_TOO_DEEP", "_NOT_CLOSED", "_BOUNDS"}
    found: list[tuple[str, str]] = []
    root = Path(gptme_reliability.__file__).parent
    stages = [root / f"{name}.py" for name in ("validate", "settle", "pipeline", "intent", "loops")]
    stages += [root / "no_call.py"]
    stages += [root / "order.py"]
    stages += [root / "enforce.py", root / "confidence.py", root / "native.py"]
    for path in (*stages, *root.glob("dialects/*.py"), *root.glob("repair/*.py")):
        if path.name in ("encode.py", "strict.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            made: list[ast.expr] = []
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
                made = list(node.args) if name in makers else []
            elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                named = any(getattr(target, "id", None) in names for target in targets)
                made = [node.value] if named else []
            elif isinstance(node, ast.Return) and node.value is not None:
                made = [node.value] if path.name == "validate.py" else []
            found += [(path.name, text) for one in made for text in spoken(one)]
    return found


def spoken(node: ast.expr) -> list[str]:
    """The sentences in an expression."""
    if isinstance(node, ast.IfExp):
        return [*spoken(node.body), *spoken(node.orelse)]
    if isinstance(node, ast.Dict):
        return [text.replace("{}", "X") for one in node.values for text in spoken(one)]
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) and " " in node.value else []
    if isinstance(node, ast.JoinedStr):
        parts = [str(p.value) if isinstance(p, ast.Constant) else "X" for p in node.values]
        return ["".join(parts)] if " " in "".join(parts) else []
    return []


# Put together from two pieces, or used inside another sentence.
PIECES = {
    "a number has too many digits": "{} to be read",
    "a number is too large": "{} to be read",
    "X to be read": "a number is too large to be read",
    "X; did you mean X?": "the call names no tool; did you mean X?",
    "not run either, since another call of the answer was faulty: X; ": (
        "{}write what is still needed again with it"
    ),
}


@pytest.mark.parametrize(("module", "sentence"), sentences())
def test_every_sentence_of_the_stages_is_in_the_table(module: str, sentence: str) -> None:
    """In Chinese nothing is left of it but the values."""
    if sentence in (kind for kind in KINDS):
        return
    whole = PIECES.get(sentence, "{}").format(sentence)
    # Where a sentence says what a value is, any word of ``KINDS`` fits.
    whole = re.sub(r"(not|held) X", r"\1 nothing", whole)
    assert fault(whole, "zh", "syntax") != say("unknown_fault", "zh", rule="syntax"), module


def test_the_stages_say_many_things() -> None:
    """The walk over the modules finds what it looks for."""
    found = [sentence for _, sentence in sentences()]
    assert len(found) > 90
    assert "the output was cut off at this call" in found


def test_both_languages_have_the_same_slots() -> None:
    """A translation says all that is to be said."""
    for words in (*FAULTS, *FRAME.values()):
        slots = [sorted(re.findall(r"\{\w+\}", text)) for text in words]
        assert slots[0] == slots[1], words.en
        assert (
            re.search(r"[一-鿿]", words.zh) or words.zh == words.en or words.en == "{where}: {what}"
        )


@pytest.mark.parametrize("words", FAULTS, ids=[words.en[:40] for words in FAULTS])
def test_a_sentence_is_found_by_its_own_words(words: Any) -> None:
    """No row hides another: what is put into the English row comes out in the Chinese one."""
    values = {
        slot: {"kind": "a string", "kinds": "integer or null", "fault": HELD}.get(slot, f"'{slot}'")
        for slot in re.findall(r"\{(\w+)\}", words.en)
    }
    chinese = {**values, "kind": "字符串", "kinds": "integer 或 null", "fault": fault(HELD, "zh")}
    message = words.en.format_map(values)
    assert fault(message, "en") == message
    assert fault(message, "zh") == words.zh.format_map(chinese)


def test_values_are_not_translated() -> None:
    """What a model wrote stays as it wrote it, whatever it looks like."""
    assert fault('must be "a, not b"', "zh") == '必须是 "a, not b"'
    assert fault("there is no tool 'a{name}b'", "zh") == "没有工具 'a{name}b'"
    assert fault("nobody knows this sentence", "zh", "odd") == "不符合规则 odd"
    assert fault("nobody knows this sentence", "en", "odd") == "nobody knows this sentence"


@settings(max_examples=200)
@given(st.text(max_size=300), st.sampled_from(LANGUAGES))
def test_any_message_can_be_said(message: str, language: Language) -> None:
    """Nothing a violation says raises, and English stays as it was said."""
    assert fault(message, language) or not message
    if language == "en":
        assert fault(message, language) == message


def test_long_messages_take_linear_time() -> None:
    """Slots are looked for once, from the left."""
    long = "must be " + "x or y, not a " * 200_000
    assert len(fault(long, "zh", "type")) < 2_000
