"""In which dialect a model is asked to write its calls, when the server offers it no tools.

A model writes best what it was trained on.  Where the form of its family begins with a control
token, servers take that token out of the text, so that what is left without it counts: a list
of objects, or a Python call.  Source: the chat templates of the named families.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gptme_reliability.dialects.encode import ENCODERS, HOST_DIALECTS
from gptme_reliability.distance import fold

DEFAULT: Final = "hermes"
"""For families that are not in the table.

Most open models and finetunes write it; its tags are plain text for every tokenizer, and they
tell a call from JSON that is only shown, which a bare object does not.
"""

_DIALECTS: Final[Mapping[str, str]] = {
    "bielik": "hermes",
    "ernie": "hermes",
    "granite": "hermes",
    "hermes": "hermes",
    "internvl": "hermes",
    "mimo": "hermes",
    "noushermes": "hermes",
    "qwen": "hermes",
    "qwq": "hermes",
    "reka": "hermes",
    # Tags, an argument each.
    "mirothinker": "qwen3_coder",
    "nemotron3": "qwen3_coder",
    "qwen35": "qwen3_coder",
    "qwen36": "qwen3_coder",
    "qwen38": "qwen3_coder",
    "qwen3coder": "qwen3_coder",
    "step35": "qwen3_coder",
    "step37": "qwen3_coder",
    # An object with ``parameters``, without any marker.
    "llama": "llama3_json",
    "metallama": "llama3_json",
    # The newer ``[TOOL_CALLS]name[ARGS]`` loses both its markers to servers; a list stays one.
    "codestral": "mistral_array",
    "devstral": "mistral_array",
    "magistral": "mistral_array",
    "ministral": "mistral_array",
    "mistral": "mistral_array",
    "mixtral": "mistral_array",
    # Python calls.
    "gemma": "pythonic",
    "lfm2": "pythonic",
    "olmo": "pythonic",
    "toolace": "pythonic",
    # A list of objects behind a marker of their own, or a form that cannot be written here.
    "apriel": "plain_json",
    "chatglm": "plain_json",
    "command": "plain_json",
    "deepseek": "plain_json",
    "functiongemma": "plain_json",
    "gemma4": "plain_json",
    "glm": "plain_json",
    "gptoss": "plain_json",
    "granite3": "plain_json",
    "hunyuan": "plain_json",
    "internlm": "plain_json",
    "jamba": "plain_json",
    "llamanemotron": "plain_json",
    "nemotron": "plain_json",
    "phi": "plain_json",
    "xlam": "plain_json",
}
"""Dialects by the beginning of a family's name, folded; the longest beginning counts."""


def dialect_for(family: str | None, said: str | None = None) -> str:
    """The dialect, of those that ``encode`` can write, that models of a family know best.

    ``family`` is a name as in ``ModelFacts.family``, in any spelling: ``qwen2.5``, ``Llama-3.1``.
    ``said`` is the dialect that somebody named; one that cannot be written is passed over.
    """
    if said in ENCODERS and said not in HOST_DIALECTS:
        return said
    folded = fold((family or "").rpartition("/")[2])
    known = max((name for name in _DIALECTS if folded.startswith(name)), key=len, default=None)
    return DEFAULT if known is None else _DIALECTS[known]
