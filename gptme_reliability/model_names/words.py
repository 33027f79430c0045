"""Words in a model's name that are not the model's own: publisher, packing, mode, edits."""

from __future__ import annotations

from typing import Final, Literal

SpelledMode = Literal["chat", "instruct", "thinking", "base"]
"""``chat``: tuned for chat, which a model that reasons on demand is too."""

_MODES: Final[dict[SpelledMode, str]] = {
    "chat": "instruct inst it chat",
    "instruct": "nothink nonthinking",
    "thinking": "thinking think reasoning reasoner",
    "base": "base pt text pretrained",
}
MODES: Final = {word: mode for mode, words in _MODES.items() for word in words.split()}

JOINED: Final = {
    ("no", "think"): "nothink",
    ("no", "thinking"): "nothink",
    ("non", "thinking"): "nothink",
    ("fine", "tune"): "finetune",
    ("fine", "tuned"): "finetune",
}
"""Words that mean something only together."""

_PACKING: Final = (
    "latest free cloud nitro floor exacto extended turbo instant versatile gguf ggml mlx mlc hf "
    "onnx safetensors llamafile quantized quant quants imatrix imat i1 ud dynamic static qat dwq "
    "bnb unsloth lmstudio h6 h8 kv ctx context"
)
PACKING: Final = frozenset(_PACKING.split())
"""How the weights are packed and served, and by whom."""

_EDITED: Final = "abliterated abliterate uncensored heretic"
EDITED: Final = frozenset(_EDITED.split())
"""The maker's weights with refusals taken out: still that model. A version may follow."""

_RETRAINED: Final = (
    "dpo simpo sft orpo kto grpo ppo rlhf lora qlora adapter finetune finetuned ft tuned merged"
)
RETRAINED: Final = frozenset(_RETRAINED.split())
"""Trained further under the same name: still the family, no longer the published variant."""

_PUBLISHERS: Final = (
    "allenai bytedance bytedance-seed c4ai cohere cohereforai coherelabs deepseek deepseek-ai "
    "google huggingfacetb ibm ibm-granite internlm jetbrains lgai-exaone liquid liquidai "
    "madeagents meetkai meta meta-llama microsoft minimax minimaxai mistral mistralai moonshotai "
    "nousresearch nvidia openai openbmb qwen salesforce swiss-ai team-ace thudm tiiuae z-ai zai "
    "zai-org bartowski ggml-org lmstudio-community maziyarpanahi mlx-community mradermacher "
    "thebloke unsloth"
)
PUBLISHERS: Final = frozenset(_PUBLISHERS.split())
"""Makers and packers, as before a model's name: ``google/gemma-3-12b``, ``Qwen_Qwen3-8B``."""

_SERVERS: Final = "ollama lmstudio vllm openrouter local"
SERVERS: Final = frozenset(_SERVERS.split())
"""Words before a colon that name who serves: ``ollama:qwen3:8b``."""

_GENERIC_FILES: Final = "model models ggml main consolidated weights snapshots"
GENERIC_FILES: Final = frozenset(_GENERIC_FILES.split())
"""File and folder names that say nothing, so that the folder above is asked."""

_LIBRARY: Final = (
    "llama2:7b llama3:8b llama3.1:8b llama3.2:3b llama3.3:70b llama4:16x17b codellama:7b "
    "qwen2:7b qwen2.5:7b qwen2.5-coder:7b qwen2.5vl:7b qwen3:8b qwen3-coder:30b qwq:32b "
    "mistral:7b mistral-nemo:12b mistral-small3.1:24b mistral-small3.2:24b mixtral:8x7b "
    "codestral:22b devstral:24b magistral:24b gemma:7b gemma2:9b gemma3:4b gemma3n:e4b "
    "functiongemma:270m phi3:3.8b phi3.5:3.8b phi4:14b phi4-mini:3.8b phi4-reasoning:14b "
    "gpt-oss:20b granite3.2:8b granite3.3:8b hermes3:8b smollm2:1.7b olmo2:7b exaone3.5:7.8b "
    "deepseek-coder-v2:16b command-r7b:7b command-r:35b command-a:111b falcon3:7b tinyllama:1.1b "
    "glm4:9b dolphin3:8b"
)
LIBRARY_TAGS: Final = dict(entry.split(":") for entry in _LIBRARY.split())
"""A bare name in the Ollama library → the tag it stands for (ollama.com/library, "latest").

Names whose default has moved, or is not known for certain, are left out.
"""
