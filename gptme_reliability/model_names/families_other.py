"""The families of smaller makers that the sampling cards speak of."""

from __future__ import annotations

from typing import Final

from gptme_reliability.model_names.family import Family, known, release

NOUS: Final = (
    Family(
        "Hermes 2 Pro",
        ("hermes 2 pro",),
        (release("Hermes-2-Pro-Llama-3-8B"), known("Hermes-2-Pro-Mistral-7B")),
    ),
    Family(
        "Hermes 3",
        ("hermes 3",),
        (
            release("Hermes-3-Llama-3.1-8B", also="hermes-3-8b"),
            known("Hermes-3-Llama-3.2-3B", also="hermes-3-3b"),
            known("Hermes-3-Llama-3.1-70B", also="hermes-3-70b"),
            known("Hermes-3-Llama-3.1-405B", also="hermes-3-405b"),
        ),
    ),
    Family(
        "Hermes 4",
        ("hermes 4",),
        (release("Hermes-4-14B"), release("Hermes-4-70B"), known("Hermes-4-405B")),
        hybrid=True,
    ),
)

CALLERS: Final = (
    Family(
        "Functionary",
        ("functionary",),
        (
            release("functionary-small-v3.2", 8),
            known("functionary-small-v3.1", 8),
            known("functionary-medium-v3.1", 70),
            known("functionary-medium-v3.2", 70),
        ),
        sizes="7b",
    ),
    Family(
        "xLAM-2",
        ("xlam 2", "llama xlam 2"),
        (
            release("xLAM-2-1b-fc-r"),
            release("xLAM-2-3b-fc-r"),
            release("Llama-xLAM-2-8b-fc-r"),
            release("xLAM-2-32b-fc-r"),
            known("Llama-xLAM-2-70b-fc-r"),
        ),
    ),
    Family(
        "Hammer",
        ("hammer",),
        (release("Hammer2.1-0.5b"), release("Hammer2.1-1.5b"), release("Hammer2.1-7b")),
        needs=("2.0", "2.1"),
        words="2.0",
        sizes="3b",
    ),
    Family(
        "ToolACE",
        ("toolace",),
        (release("ToolACE-8B"), known("ToolACE-2-Llama-3.1-8B"), known("ToolACE-2-8B")),
    ),
)

LARGE: Final = (
    Family(
        "GLM-4.5",
        ("glm 4.5",),
        (release("GLM-4.5-Air", 106, 12), known("GLM-4.5", 355, 32)),
        hybrid=True,
    ),
    Family(
        "GLM-4.6",
        ("glm 4.6",),
        (release("GLM-4.6", 355, 32),),
        hybrid=True,
        sizes="357b",
    ),
    Family(
        "GLM-4.7",
        ("glm 4.7",),
        (release("GLM-4.7-Flash", 30, 3), known("GLM-4.7", 355, 32)),
        hybrid=True,
    ),
    Family(
        "GLM-4-0414",
        ("glm 4",),
        (release("GLM-4-32B-0414", also="glm-4-32b"), known("GLM-4-9B-0414")),
        needs=("0414", "32b"),
    ),
    Family(
        "Kimi-K2",
        ("kimi k2",),
        (
            release("Kimi-K2-Instruct", 1000, 32, also="kimi-k2-0711-instruct"),
            known("Kimi-K2-Instruct-0905", 1000, 32),
            known("Kimi-K2-Thinking", 1000, 32),
        ),
        plain="chat",
    ),
    Family("MiniMax-M2", ("minimax m2",), (release("MiniMax-M2", 230, 10),)),
    Family(
        "gpt-oss",
        ("gpt oss",),
        (release("gpt-oss-20b", 21, 3.6), release("gpt-oss-120b", 117, 5.1)),
        hybrid=True,
    ),
    Family(
        "Command",
        ("command",),
        (
            release("c4ai-command-r7b-12-2024", 7, also="command-r7b"),
            release("c4ai-command-a-03-2025", 111, also="command-a"),
            release("command-a-reasoning-08-2025", 111, also="command-a-reasoning"),
            known("c4ai-command-r-08-2024", 32),
            known("c4ai-command-r-v01", 35),
            known("c4ai-command-r-plus-08-2024", 104),
            known("c4ai-command-r-plus", 104),
        ),
        needs=("a", "r", "r7b"),
    ),
    Family(
        "Seed-OSS",
        ("seed oss",),
        (release("Seed-OSS-36B-Instruct"),),
        plain="chat",
        hybrid=True,
    ),
)

NVIDIA: Final = (
    Family(
        "Nemotron",
        ("nemotron", "llama nemotron", "llama 3.1 nemotron", "llama 3.3 nemotron"),
        (
            release("Llama-3_3-Nemotron-Super-49B-v1_5"),
            release("Llama-3.1-Nemotron-Nano-8B-v1"),
            release("NVIDIA-Nemotron-Nano-9B-v2"),
            known("NVIDIA-Nemotron-Nano-12B-v2"),
            known("Llama-3_3-Nemotron-Super-49B-v1"),
            known("Llama-3_1-Nemotron-Ultra-253B-v1"),
            known("Llama-3.1-Nemotron-70B-Instruct"),
        ),
        sizes="4b 51b",
    ),
    Family(
        "Nemotron 3",
        ("nemotron 3",),
        (
            release("NVIDIA-Nemotron-3-Nano-30B-A3B"),
            release("NVIDIA-Nemotron-3-Super-120B-A12B"),
        ),
        hybrid=True,
        sizes="4b",
    ),
)

SMALL: Final = (
    Family("SmolLM3", ("smollm 3",), (release("SmolLM3-3B", 3, also="smollm3"),), hybrid=True),
    Family(
        "LFM2",
        ("lfm 2",),
        (
            release("LFM2-350M"),
            release("LFM2-700M"),
            release("LFM2-1.2B"),
            release("LFM2-2.6B"),
            release("LFM2-1.2B-Tool"),
            known("LFM2-8B-A1B"),
        ),
        sizes="24b",
    ),
    Family(
        "LFM2.5",
        ("lfm 2.5",),
        (
            release("LFM2.5-230M"),
            release("LFM2.5-350M"),
            release("LFM2.5-1.2B-Instruct"),
            release("LFM2.5-1.2B-Thinking"),
            release("LFM2.5-8B-A1B"),
        ),
        plain="chat",
    ),
    Family("MiniCPM5", ("minicpm 5",), (release("MiniCPM5-1B"),), hybrid=True),
    Family("Mellum2", ("mellum 2",), (release("Mellum2-12B-A2.5B-Instruct"),)),
    Family("Muse Glimmer", ("muse glimmer",), (release("Muse-Glimmer-30B"),), hybrid=True),
)

RESEARCH: Final = (
    Family(
        "OLMo 3",
        ("olmo 3",),
        (
            release("Olmo-3-7B-Instruct"),
            release("Olmo-3-32B-Think"),
            known("Olmo-3-7B-Think"),
        ),
        words="1025 1125",
        plain="unknown",
    ),
    Family("InternLM3", ("internlm 3",), (release("internlm3-8b-instruct"),), plain="chat"),
    Family(
        "Apertus",
        ("apertus",),
        (
            release("Apertus-8B-Instruct-2509", also="apertus-8b-instruct"),
            release("Apertus-70B-Instruct-2509", also="apertus-70b-instruct"),
        ),
    ),
    Family(
        "Falcon3",
        ("falcon 3",),
        (
            release("Falcon3-7B-Instruct"),
            known("Falcon3-10B-Instruct"),
            known("Falcon3-3B-Instruct"),
            known("Falcon3-1B-Instruct"),
        ),
        plain="chat",
    ),
    Family(
        "EXAONE 4",
        ("exaone 4", "exaone 4.0"),
        (release("EXAONE-4.0-1.2B"), release("EXAONE-4.0-32B")),
        hybrid=True,
    ),
)
