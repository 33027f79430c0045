"""Quantisation labels: one spelling for each, and about how many bits a weight takes."""

from __future__ import annotations

import re
from typing import Final

_BITS: Final = {
    "IQ1_S": 2.0,
    "IQ1_M": 2.1,
    "IQ2_XXS": 2.4,
    "IQ2_XS": 2.6,
    "IQ2_S": 2.7,
    "IQ2_M": 2.9,
    "IQ3_XXS": 3.3,
    "IQ3_XS": 3.5,
    "IQ3_S": 3.7,
    "IQ3_M": 3.8,
    "IQ4_XS": 4.5,
    "IQ4_NL": 4.7,
    "TQ1_0": 1.7,
    "TQ2_0": 2.1,
    "Q2_K": 3.2,
    "Q2_K_S": 3.0,
    "Q3_K": 4.0,
    "Q3_K_S": 3.6,
    "Q3_K_M": 4.0,
    "Q3_K_L": 4.3,
    "Q4_0": 4.7,
    "Q4_1": 5.1,
    "Q4_K": 4.9,
    "Q4_K_S": 4.7,
    "Q4_K_M": 4.9,
    "Q5_0": 5.5,
    "Q5_1": 6.0,
    "Q5_K": 5.7,
    "Q5_K_S": 5.6,
    "Q5_K_M": 5.7,
    "Q6_K": 6.6,
    "Q8_0": 8.5,
    "F16": 16.0,
    "BF16": 16.0,
    "F32": 32.0,
    "FP4": 4.0,
    "NVFP4": 4.5,
    "MXFP4": 4.25,
    "NF4": 4.0,
    "FP8": 8.0,
    "AWQ": 4.0,
}
"""Bits per weight that llama.cpp's quantize tool lists for Llama 3.1 8B; others by definition."""

_LABEL: Final = re.compile(
    r"(?<![a-z0-9])(?:"
    r"(?P<gguf>(?:ud[-_])?(?:i?q[1-8][-_](?:k(?:[-_](?:xxs|xs|xxl|xl|s|m|l))?"
    r"|[01](?:_[48]_[48])?|nl|xxs|xs|s|m)|tq[12]_0))"
    r"|(?P<mlc>q[03458]f(?:16|32)(?:_[0-9])?)"
    r"|(?P<float>bf16|fp?16|fp?32)"
    r"|(?P<small>nvfp4|mxfp4|fp4|nf4|fp8)(?:[-_](?:dynamic|block|e4m3|moe|q[48](?![-_])))?"
    r"|(?P<awq>awq)(?:[-_](?:int)?(?P<awqbits>[48])(?:[-_]?bits?)?)?"
    r"|gptq(?:[-_]v2)?(?:[-_](?:int)?(?P<gptq>[2348])(?:[-_]?bits?)?(?:[-_](?:32|64|128)g)?)?"
    r"|(?P<int>int[48]|w[48]a(?:16|8|4))"
    r"|(?P<plainbits>[2-8])[-_]?bits?"
    r"|(?P<exl>exl[23])"
    r"|(?P<bpw>[1-8](?:\.[0-9]{1,2})?)[-_]?bpw"
    r"|(?P<short>q[2-8])"
    r")(?![a-z0-9])"
)
"""Labels between other words of a name in lower case; the longest spelling stands first."""


def take_quant(text: str) -> tuple[str, str | None, float | None]:
    """Part a lower-case name from its labels: the rest, the last label, and bits per weight.

    The last one counts: ``gemma-3-12b-it-qat-q4_0-gguf:Q8_0`` loads the Q8_0 file.
    """
    label: str | None = None
    bits: float | None = None
    for match in _LABEL.finditer(text):
        if match["bpw"]:
            bits = float(match["bpw"])
        elif match["exl"]:
            label = match["exl"].upper()
        else:
            label, bits = _read(match)
    return _LABEL.sub("-", text), label, bits


def _read(match: re.Match[str]) -> tuple[str, float | None]:
    if match["gguf"]:
        label = match["gguf"].replace("-", "_").upper().replace("UD_", "UD-")
        return label, _bits_of(label)
    if match["float"]:
        label = match["float"].upper().replace("FP", "F")
        return label, _BITS[label]
    if match["small"]:
        label = match["small"].upper()
        return label, _BITS[label]
    if match["awq"]:
        return "AWQ", float(match["awqbits"] or 4)
    if match["int"]:
        label = match["int"].upper()
        return label, float(re.findall(r"[48]", label)[0])
    if match["plainbits"]:
        return f"{match['plainbits']}bit", float(match["plainbits"])
    if match["mlc"]:
        return match["mlc"], float(match["mlc"][1]) or None
    if match["short"]:
        return match["short"].upper(), float(match["short"][1])
    bits = match["gptq"]
    return (f"GPTQ-Int{bits}", float(bits)) if bits else ("GPTQ", None)


def _bits_of(label: str) -> float:
    """A mix that has no figure of its own counts as the nearest one that has."""
    plain = label.removeprefix("UD-")
    known = _BITS.get(plain) or _BITS.get(plain[: len("Q4_K")])
    return known if known is not None else float(re.findall(r"[1-8]", plain)[0])
