"""The families that the sampling cards speak of.

Names and sizes are the makers'; figures in the row stand where the name does not say them.
Tags such as ``deepseek-r1:7b`` are those of the Ollama library.
"""

from __future__ import annotations

from typing import Final

from gptme_reliability.model_names.family import Family, known, release

QWEN: Final = (
    Family(
        "Qwen2.5",
        ("qwen 2.5", "qwen 25"),
        (
            release("Qwen2.5-0.5B-Instruct"),
            release("Qwen2.5-1.5B-Instruct"),
            release("Qwen2.5-3B-Instruct"),
            release("Qwen2.5-7B-Instruct"),
            release("Qwen2.5-14B-Instruct"),
            release("Qwen2.5-32B-Instruct"),
        ),
        words="1m",
        sizes="72b",
    ),
    Family(
        "Qwen2.5-Coder",
        ("qwen 2.5 coder", "qwen 25 coder"),
        (release("Qwen2.5-Coder-7B-Instruct"),),
        sizes="0.5b 1.5b 3b 14b 32b",
    ),
    Family(
        "Qwen3-2507",
        ("qwen 3",),
        (
            release("Qwen3-4B-Instruct-2507", also="qwen3-4b-instruct"),
            release("Qwen3-4B-Thinking-2507", also="qwen3-4b-thinking"),
            release("Qwen3-30B-A3B-Instruct-2507", also="qwen3-30b-instruct"),
            release("Qwen3-30B-A3B-Thinking-2507", also="qwen3-30b-thinking"),
            known("Qwen3-235B-A22B-Instruct-2507", also="qwen3-235b-instruct"),
            known("Qwen3-235B-A22B-Thinking-2507", also="qwen3-235b-thinking"),
        ),
        needs=(
            "2507",
            *("4b instruct", "30b instruct", "235b instruct"),
            *("4b thinking", "30b thinking", "235b thinking"),
        ),
        plain="chat",
    ),
    Family(
        "Qwen3",
        ("qwen 3",),
        (
            release("Qwen3-0.6B"),
            release("Qwen3-1.7B"),
            release("Qwen3-4B"),
            release("Qwen3-8B"),
            release("Qwen3-14B"),
            release("Qwen3-32B"),
            release("Qwen3-30B-A3B"),
            known("Qwen3-235B-A22B"),
        ),
        hybrid=True,
    ),
    Family(
        "Qwen3-Coder",
        ("qwen 3 coder",),
        (release("Qwen3-Coder-30B-A3B-Instruct"), known("Qwen3-Coder-480B-A35B-Instruct")),
        plain="chat",
        thinks=False,
    ),
    Family(
        "Qwen3-Coder-Next",
        ("qwen 3 coder next",),
        (release("Qwen3-Coder-Next", 80, 3),),
        thinks=False,
    ),
    Family(
        "Qwen3-Next",
        ("qwen 3 next",),
        (release("Qwen3-Next-80B-A3B-Instruct"), known("Qwen3-Next-80B-A3B-Thinking")),
        plain="unknown",
    ),
    Family(
        "Qwen3.5",
        ("qwen 3.5",),
        (
            release("Qwen3.5-4B"),
            release("Qwen3.5-9B"),
            release("Qwen3.5-27B"),
            release("Qwen3.5-35B-A3B"),
            release("Qwen3.5-122B-A10B"),
        ),
        hybrid=True,
        sizes="0.8b 2b 397b",
    ),
    Family(
        "Qwen3.6",
        ("qwen 3.6",),
        (release("Qwen3.6-35B-A3B"), release("Qwen3.6-27B")),
        hybrid=True,
    ),
    Family("Qwen3.8", ("qwen 3.8",), (release("Qwen3.8-27B"),), hybrid=True),
    Family(
        "QwQ",
        ("qwq",),
        (release("QwQ-32B"), known("QwQ-32B-Preview")),
        thinks=True,
    ),
)

META: Final = (
    Family(
        "Llama 3.1",
        ("llama 3.1", "llama v3.1", "llama 31"),
        (release("Llama-3.1-8B-Instruct"), release("Llama-3.1-70B-Instruct")),
        sizes="405b",
    ),
    Family(
        "Llama 3.2",
        ("llama 3.2", "llama v3.2", "llama 32"),
        (release("Llama-3.2-1B-Instruct"), release("Llama-3.2-3B-Instruct")),
    ),
    Family(
        "Llama 3.3",
        ("llama 3.3", "llama v3.3", "llama 33"),
        (release("Llama-3.3-70B-Instruct"),),
        plain="chat",
    ),
    Family(
        "Llama 4",
        ("llama 4", "llama v4"),
        (
            release(
                "Llama-4-Scout-17B-16E-Instruct",
                109,
                17,
                also="llama4-16x17b-instruct llama4-scout llama4-scout-instruct",
            ),
            release(
                "Llama-4-Maverick-17B-128E-Instruct",
                400,
                17,
                also="llama4-128x17b-instruct llama4-maverick llama4-maverick-instruct",
            ),
        ),
    ),
)

MISTRAL: Final = (
    Family(
        "Mistral",
        ("mistral",),
        (release("Mistral-7B-Instruct-v0.3"),),
        words="v0.1 v0.2",
    ),
    Family(
        "Mistral Nemo",
        ("mistral nemo",),
        (release("Mistral-Nemo-Instruct-2407", 12, also="mistral-nemo-instruct"),),
        plain="chat",
    ),
    Family(
        "Mistral Small",
        ("mistral small",),
        (
            release(
                "Mistral-Small-24B-Instruct-2501",
                also="mistral-small-24b-instruct mistral-small-3-24b-instruct "
                "mistral-small-3-24b-instruct-2501",
            ),
            release("Mistral-Small-3.1-24B-Instruct-2503", 24, also="mistral-small-3.1-instruct"),
            release("Mistral-Small-3.2-24B-Instruct-2506", 24, also="mistral-small-3.2-instruct"),
            known("Mistral-Small-Instruct-2409", 22),
        ),
        plain="chat",
    ),
    Family(
        "Mistral Small 4",
        ("mistral small 4",),
        (release("Mistral-Small-4-119B-2603", also="mistral-small-4-119b"),),
        hybrid=True,
    ),
    Family(
        "Ministral 3",
        ("ministral 3",),
        (
            release("Ministral-3-3B-Instruct-2512", also="ministral-3-3b-instruct"),
            release("Ministral-3-8B-Instruct-2512", also="ministral-3-8b-instruct"),
            release("Ministral-3-14B-Instruct-2512", also="ministral-3-14b-instruct"),
            release("Ministral-3-8B-Reasoning-2512", also="ministral-3-8b-reasoning"),
            release("Ministral-3-14B-Reasoning-2512", also="ministral-3-14b-reasoning"),
        ),
        plain="chat",
    ),
    Family(
        "Magistral",
        ("magistral",),
        (
            release("Magistral-Small-2506", 24),
            release("Magistral-Small-2509", 24),
            known("Magistral-Small-2507", 24, also="magistral-small"),
        ),
        thinks=True,
    ),
    Family(
        "Devstral",
        ("devstral",),
        (
            release("Devstral-Small-2505", 24),
            release("Devstral-Small-2-24B-Instruct-2512", 24, also="devstral-small-2-instruct"),
            known("Devstral-Small-2507", 24, also="devstral-small devstral-24b"),
            known("Devstral-2-123B-Instruct-2512", also="devstral-2-123b-instruct"),
        ),
        plain="chat",
    ),
)

DEEPSEEK: Final = (
    Family(
        "DeepSeek R1 distill",
        ("deepseek r1",),
        (
            release("DeepSeek-R1-Distill-Qwen-1.5B", also="deepseek-r1:1.5b"),
            release("DeepSeek-R1-Distill-Qwen-7B", also="deepseek-r1:7b"),
            release("DeepSeek-R1-Distill-Llama-8B"),  # the tag 8b has meant two models
            release("DeepSeek-R1-Distill-Qwen-14B", also="deepseek-r1:14b"),
            release("DeepSeek-R1-Distill-Qwen-32B", also="deepseek-r1:32b"),
            known("DeepSeek-R1-Distill-Llama-70B", also="deepseek-r1:70b"),
            known("DeepSeek-R1-0528-Qwen3-8B"),
        ),
        needs=("distill", "1.5b", "7b", "8b", "14b", "32b", "70b"),
        thinks=True,
    ),
    Family(
        # Without a publisher the bare name is a distill in one library, the full model in others.
        "DeepSeek R1",
        ("deepseek r1",),
        (release("DeepSeek-R1-0528", 671, 37), known("DeepSeek-R1", 671, 37)),
        needs=("0528", "671b", "gguf", "deepseek/", "deepseek-ai/"),
        thinks=True,
    ),
    Family(
        "DeepSeek V3",
        ("deepseek v3",),
        (release("DeepSeek-V3-0324", 671, 37), known("DeepSeek-V3", 671, 37)),
        sizes="685b",
    ),
    Family(
        "DeepSeek V3.1",
        ("deepseek v3.1",),
        (release("DeepSeek-V3.1", 671, 37), known("DeepSeek-V3.1-Terminus", 671, 37)),
        hybrid=True,
        sizes="685b",
    ),
    Family(
        "DeepSeek V3.2",
        ("deepseek v3.2",),
        (
            release("DeepSeek-V3.2", 685, 37),
            known("DeepSeek-V3.2-Exp", 685, 37),
            known("DeepSeek-V3.2-Speciale", 685, 37),
        ),
        hybrid=True,
        sizes="671b",
    ),
    Family("DeepSeek V4", ("deepseek v4",), (release("DeepSeek-V4-Flash"),), hybrid=True),
)

GOOGLE: Final = (
    Family(
        "Gemma 2",
        ("gemma 2",),
        (release("gemma-2-2b-it"), release("gemma-2-9b-it"), known("gemma-2-27b-it")),
    ),
    Family(
        "Gemma 3",
        ("gemma 3",),
        (
            release("gemma-3-270m-it"),
            release("gemma-3-1b-it"),
            release("gemma-3-4b-it"),
            release("gemma-3-12b-it"),
            release("gemma-3-27b-it"),
        ),
        plain="chat",
    ),
    Family(
        "Gemma 4",
        ("gemma 4",),
        (
            release("gemma-4-E2B-it"),
            release("gemma-4-E4B-it"),
            release("gemma-4-12B-it"),
            release("gemma-4-26B-A4B-it"),
            release("gemma-4-31B-it"),
        ),
        hybrid=True,
    ),
    Family(
        "FunctionGemma",
        ("functiongemma",),
        (release("functiongemma-270m-it", 0.27, also="functiongemma-it"),),
        plain="chat",
    ),
)

MICROSOFT: Final = (
    Family(
        "Phi-3.5",
        ("phi 3.5", "phi 35"),
        (
            release("Phi-3.5-mini-instruct", 3.8, also="phi-3.5-3.8b-instruct"),
            known("Phi-3.5-MoE-instruct", 42, 6.6),
        ),
        plain="chat",
    ),
    Family(
        "Phi-4",
        ("phi 4",),
        (
            release("phi-4", 14),
            release("Phi-4-mini-instruct", 3.8),
            release("Phi-4-reasoning", 14),
            release("Phi-4-reasoning-plus", 14),
            known("Phi-4-mini-reasoning", 3.8),
        ),
        plain="chat",
    ),
)

IBM: Final = (
    Family(
        "Granite 3",
        ("granite",),
        (release("granite-3.3-8b-instruct"),),
        needs=("3.0", "3.1", "3.2", "3.3"),
        words="3.0 3.1 3.2 dense moe",
        plain="chat",
        sizes="1b 2b 3b",
    ),
    Family(
        "Granite 4",
        ("granite 4", "granite 4.0"),
        (
            release("granite-4.0-350m"),
            release("granite-4.0-h-micro", 3),
            release("granite-4.0-h-tiny", 7, 1),
            release("granite-4.0-h-small", 32, 9),
            known("granite-4.0-micro", 3),
        ),
        sizes="1b",
    ),
    Family(
        "Granite 4.1",
        ("granite 4.1",),
        (release("granite-4.1-8b"),),
        sizes="3b 30b",
    ),
)
