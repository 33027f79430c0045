"""Which model a name means: real spellings, made-up names, and what must hold for all."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptme_reliability.identity import LONGEST_NAME, Identity, identify
from gptme_reliability.model_names.index import FAMILIES

CASES = Path(__file__).parent / "cases"


def rows(name: str) -> list[dict[str, Any]]:
    text = (CASES / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


KNOWN = rows("model_names.jsonl")
UNKNOWN = rows("unknown_models.jsonl")
PROVIDERS = ("local", "ollama", "myprovider", "openrouter", "lm-studio", "my_vllm")
QUANTS = {
    "Q4_K_M": 4.9,
    "q8_0": 8.5,
    "IQ2_XS": 2.6,
    "UD-Q4_K_XL": 4.9,
    "AWQ": 4.0,
    "GPTQ-Int4": 4.0,
    "GPTQ-Int8": 8.0,
    "FP8": 8.0,
    "MXFP4": 4.25,
    "4bit": 4.0,
    "bf16": 16.0,
    "W8A8": 8.0,
    "3.5bpw": 3.5,
    "TQ1_0": 1.7,
    "q3f16_1": 3.0,
    "NVFP4": 4.5,
    "int8": 8.0,
    "AWQ-8bit": 8.0,
    "Q4_0_4_4": 4.7,
    "q6": 6.0,
}
PIECES = (
    *("qwen", "qwen3", "llama", "3.1", "-", "_", ".", ":", "/", "\\", "@", "--", " ", "models--"),
    *("snapshots", "7b", "a3b", "8x7b", "e4b", "instruct", "thinking", "2507", "gguf", ".gguf"),
    *("q4_k_m", "model", "latest", "abliterated", "v2", "(", "-00001-of-00002", "é", "\0", "1"),
)

known_names = st.sampled_from([row["name"] for row in KNOWN])
extendable_names = st.sampled_from(
    [
        row["name"]
        for row in KNOWN
        if not any(mark in row["name"] for mark in (".gguf", ".llamafile", "@", "snapshots", ")"))
    ]
)
any_names = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=14).map("".join))


def said(identity: Identity) -> dict[str, Any]:
    """All that was read, without the name it was read from."""
    return {key: value for key, value in dataclasses.asdict(identity).items() if key != "name"}


@pytest.mark.parametrize("row", KNOWN, ids=lambda row: row["name"])
def test_real_spellings(row: dict[str, Any]) -> None:
    """A name that people use says what its row says, and nothing else."""
    found = dataclasses.asdict(identify(row["name"]))
    del found["bits"]
    assert found == row


@pytest.mark.parametrize("row", UNKNOWN, ids=lambda row: row["name"])
def test_unknown_names(row: dict[str, Any]) -> None:
    """A made-up or foreign name is of no family and no variant, and has no mode."""
    found = identify(row["name"])
    assert (found.family, found.variant, found.mode) == (None, None, None)


def test_every_family_has_a_spelling_of_its_own() -> None:
    """The rows speak of every family and every variant of the table."""
    table = {family.name for family in FAMILIES if any(r.variant for r in family.releases)}
    variants = {r.variant for family in FAMILIES for r in family.releases if r.variant}
    assert table - {row["family"] for row in KNOWN} == set()
    assert variants - {row["variant"] for row in KNOWN} == set()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_table_reads_itself(family: Any) -> None:
    """Each release, spelled as its maker and as its row spell it, is found where it stands."""
    for release in family.releases:
        for spelling in (release.spelling, *release.also):
            if spelling == "DeepSeek-R1":
                spelling = f"deepseek-ai/{spelling}"
            found = identify(spelling)
            assert (found.family, found.variant) == (family.name, release.variant), spelling


@pytest.mark.parametrize(("label", "bits"), QUANTS.items())
def test_bits_per_weight(label: str, bits: float) -> None:
    """Every label has a figure, however it is attached."""
    for name in (f"Qwen3-8B-{label}", f"a/Qwen3-8B-GGUF:{label}", f"made-up-{label.lower()}.gguf"):
        assert identify(name).bits == bits


@given(any_names)
def test_never_raises(name: str) -> None:
    """Any text has an identity, and the same one every time."""
    assert identify(name) == identify(name)
    assert identify(name).name == name


def test_long_names_say_nothing() -> None:
    """The cap is on the name as given, and one character decides."""
    longest = "x" * (LONGEST_NAME - len("/qwen3:8b")) + "/qwen3:8b"
    assert identify(longest).family == "Qwen3"
    assert identify("x" + longest) == Identity("x" + longest)
    assert identify("-q4" * 100_000) == Identity("-q4" * 100_000)


@given(known_names, st.sampled_from([str.upper, str.lower, str.title, str.swapcase]))
def test_case_says_nothing(name: str, change: Any) -> None:
    """The same model in capitals."""
    assert said(identify(change(name))) == said(identify(name))


@given(known_names, st.lists(st.sampled_from(PROVIDERS), min_size=1, max_size=3))
def test_a_provider_says_nothing(name: str, providers: list[str]) -> None:
    """The same model behind any provider."""
    assert said(identify("/".join([*providers, name]))) == said(identify(name))


@given(extendable_names, st.sampled_from(list(QUANTS)), st.sampled_from(["-", "@", "."]))
def test_a_quantisation_keeps_the_family(name: str, label: str, joint: str) -> None:
    """The same family in any quantisation, and a label said last is the one that counts."""
    plain, found = identify(name), identify(f"{name}{joint}{label}")
    assert found.family == plain.family
    if joint != "@" and label.upper() == label and "bpw" not in label:
        assert found.quant in (label, f"UD-{label}")


@given(extendable_names, st.sampled_from(["zorblax", "roleplay", "mycompany", "9999", "plus1"]))
def test_a_word_that_nobody_knows_makes_another_model(name: str, word: str) -> None:
    """A finetune with a name of its own is not the model that it was made from."""
    assert identify(f"{name}-{word}").family is None
