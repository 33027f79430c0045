"""Families that people run and no sampling card speaks of.

Naming them keeps them apart from their namesakes: Gemma 3n is not Gemma 3.
"""

from __future__ import annotations

from typing import Final

from gptme_reliability.model_names.family import Family, known

UNCARDED: Final = (
    Family(
        "Qwen2",
        ("qwen 2",),
        (known("Qwen2-7B-Instruct"),),
        sizes="0.5b 1.5b 57b 72b",
    ),
    Family(
        "Qwen2.5-VL",
        ("qwen 2.5 vl",),
        (known("Qwen2.5-VL-7B-Instruct"),),
        sizes="3b 32b 72b",
    ),
    Family(
        "Qwen2.5-Math",
        ("qwen 2.5 math",),
        (known("Qwen2.5-Math-7B-Instruct"),),
        sizes="1.5b 72b",
    ),
    Family(
        "Qwen3-VL",
        ("qwen 3 vl",),
        (
            known("Qwen3-VL-8B-Instruct"),
            known("Qwen3-VL-30B-A3B-Instruct"),
            known("Qwen3-VL-30B-A3B-Thinking"),
            known("Qwen3-VL-235B-A22B-Instruct"),
        ),
        plain="unknown",
        sizes="2b 4b 32b",
    ),
    Family(
        "Llama 2",
        ("llama 2", "llama v2"),
        (known("Llama-2-7b-chat"),),
        sizes="13b 70b",
    ),
    Family(
        "Llama 3",
        ("llama 3", "llama v3"),
        (known("Meta-Llama-3-8B-Instruct"),),
        sizes="70b",
    ),
    Family(
        "Code Llama",
        ("codellama", "code llama"),
        (known("CodeLlama-7b-Instruct"), known("CodeLlama-7b-Python")),
        words="code",
        plain="unknown",
        sizes="13b 34b 70b",
    ),
    Family(
        "Llama 3 Groq Tool Use",
        ("llama 3 groq",),
        (known("Llama-3-Groq-8B-Tool-Use"),),
        sizes="70b",
    ),
    Family(
        "Gemma",
        ("gemma",),
        (known("gemma-7b-it"),),
        words="1.1 v1.1",
        sizes="2b",
    ),
    Family(
        "Gemma 3n",
        ("gemma 3n",),
        (known("gemma-3n-E2B-it"), known("gemma-3n-E4B-it")),
        plain="chat",
    ),
    Family(
        "CodeGemma",
        ("codegemma",),
        (known("codegemma-7b-it"),),
        words="1.1 code",
        sizes="2b",
    ),
    Family(
        "Mixtral",
        ("mixtral",),
        (
            known("Mixtral-8x7B-Instruct-v0.1", 46.7, 12.9, also="mixtral-8x7b-instruct"),
            known("Mixtral-8x22B-Instruct-v0.1", 141, 39, also="mixtral-8x22b-instruct"),
        ),
    ),
    Family("Ministral", ("ministral",), (known("Ministral-8B-Instruct-2410"),), words="2410"),
    Family("Codestral", ("codestral",), (known("Codestral-22B-v0.1", also="codestral-22b"),)),
    Family(
        "DeepSeek-Coder-V2",
        ("deepseek coder v2",),
        (
            known(
                "DeepSeek-Coder-V2-Lite-Instruct",
                16,
                2.4,
                also="deepseek-coder-v2-lite deepseek-coder-v2:16b",
            ),
            known("DeepSeek-Coder-V2-Instruct", 236, 21, also="deepseek-coder-v2:236b"),
        ),
        plain="unknown",
    ),
    Family(
        "Phi-3",
        ("phi 3",),
        (known("Phi-3-mini", 3.8), known("Phi-3-small", 7), known("Phi-3-medium", 14)),
    ),
    Family("GLM-4", ("glm 4",), (known("glm-4-9b"),)),
    Family(
        "SmolLM2",
        ("smollm 2",),
        (known("SmolLM2-1.7B-Instruct"),),
        sizes="135m 360m",
    ),
    Family("TinyLlama", ("tinyllama",), (known("TinyLlama-1.1B-Chat-v1.0"),), words="v0.6"),
    Family(
        "OLMo 2",
        ("olmo 2",),
        (known("OLMo-2-1124-7B-Instruct"),),
        words="0325 0425",
        sizes="1b 13b 32b",
    ),
    Family(
        "EXAONE 3.5",
        ("exaone 3.5",),
        (known("EXAONE-3.5-7.8B-Instruct"),),
        plain="chat",
        sizes="2.4b 32b",
    ),
    Family(
        "InternLM2.5",
        ("internlm 2.5",),
        (known("internlm2_5-7b-chat"),),
        sizes="1.8b 20b",
    ),
    Family(
        "Dolphin 3.0",
        ("dolphin 3", "dolphin 3.0"),
        (known("Dolphin3.0-Llama3.1-8B"), known("Dolphin3.0-Qwen2.5-3b")),
        sizes="0.5b 1b 1.5b 24b",
    ),
)
