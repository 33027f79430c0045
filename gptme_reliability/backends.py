"""What servers take on ``/v1/chat/completions``, and what they tell of the model they serve.

Nothing here asks a server: it reads what somebody fetched.  What is not in the tables is unknown:
it is sent under its own name, and a server that rejects it says so.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final, Literal, TypeAlias

Backend: TypeAlias = Literal["llama.cpp", "ollama", "vllm", "lmstudio", "sglang", "unknown"]
"""The program that serves a model; ``unknown`` speaks OpenAI's protocol, and that is all."""

TEMPLATE_ARGUMENTS: Final = "chat_template_kwargs"

PROBES: Final = (
    "/v1/models",
    "/props",
    "/api/version",
    "/api/v0/models",
    "/model_info",
    "/version",
)
"""What to fetch, from the root of a server, until ``recognise`` knows it."""

DECLARES: Final[Mapping[Backend, str]] = {
    "llama.cpp": "/props",
    "ollama": "/api/show",
    "sglang": "/model_info",
}
"""Where a backend tells the sampling values of the model it serves.

Ollama wants a POST of ``{"model": NAME}`` there; the others show no values anywhere.
"""


@dataclass(frozen=True, slots=True)
class NotApplied:
    """A value of the contract that the server does not get to know, or ignores.

    ``how`` says how to set it there, empty where there is no way.
    """

    parameter: str
    value: Any
    why: str
    how: str = ""


@dataclass(frozen=True, slots=True)
class Declared:
    """What a served model says of its own sampling.

    ``values`` by the names of the sampling cards; ``source`` in words; ``note`` is what the
    server does with values that it does not show.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    note: str = ""


_SPELLINGS: Final = {"repeat_penalty": "repetition_penalty"}
_OPENAI: Final = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
_PARAMETERS: Final = (*_OPENAI, "top_k", "min_p", "repetition_penalty")

_TAKEN: Final[Mapping[Backend, Mapping[str, str]]] = {
    "llama.cpp": {
        **{name: name for name in (*_PARAMETERS, TEMPLATE_ARGUMENTS)},
        "repetition_penalty": "repeat_penalty",
    },
    "vllm": {name: name for name in (*_PARAMETERS, TEMPLATE_ARGUMENTS)},
    "sglang": {name: name for name in (*_PARAMETERS, TEMPLATE_ARGUMENTS)},
    "ollama": {name: name for name in _OPENAI},
    "lmstudio": {
        **{name: name for name in (*_OPENAI, "top_k")},
        "repetition_penalty": "repeat_penalty",
    },
    "unknown": {name: name for name in _OPENAI},
}
"""Under which key a backend takes a parameter.

Sources: llama.cpp's server-schema.cpp, vLLM's and SGLang's protocol.py, Ollama's and LM Studio's
documentation of their OpenAI endpoints; of an unknown one, what OpenAI's own API takes.
"""

_NOT_ON_V1: Final = "Ollama ignores it on /v1"
_MODELFILE: Final = "write `PARAMETER {key} {value}` into the model's Modelfile"
_IGNORED: Final[Mapping[Backend, Mapping[str, tuple[str, str]]]] = {
    "ollama": {
        "top_k": ("top_k", _MODELFILE),
        "min_p": ("min_p", _MODELFILE),
        "repetition_penalty": ("repeat_penalty", _MODELFILE),
        TEMPLATE_ARGUMENTS: ("", "only Ollama's own API switches thinking, with `think`"),
    },
}
"""What a backend is known to ignore: its own word for it, and another way to set it there."""

_OFF: Final[Mapping[Backend, Mapping[str, float]]] = {"sglang": {"top_k": -1}}
"""What a backend wants to hear instead of 0 where 0 switches a parameter off."""


def canonical(name: str) -> str:
    """A parameter by the name that the sampling cards have for it."""
    return _SPELLINGS.get(name, name)


def spellings(parameter: str) -> tuple[str, ...]:
    """Every key under which a request may hold a parameter."""
    return (parameter, *(key for key, name in _SPELLINGS.items() if name == parameter))


def for_backend(
    values: Mapping[str, Any], backend: Backend, refused: Collection[str] = ()
) -> tuple[dict[str, Any], tuple[NotApplied, ...]]:
    """What of these values to send, as the backend spells it, and what it will not apply.

    ``refused`` names parameters that this very server was found to reject.
    """
    sent: dict[str, Any] = {}
    lost: list[NotApplied] = []
    for name, value in values.items():
        if name in refused:
            lost.append(NotApplied(name, value, "the server rejected it"))
        elif name in _IGNORED.get(backend, {}):
            key, how = _IGNORED[backend][name]
            lost.append(NotApplied(name, value, _NOT_ON_V1, how.format(key=key, value=value)))
        else:
            off = _OFF.get(backend, {}).get(name, value)
            sent[_TAKEN[backend].get(name, name)] = value if value else off
    return sent, tuple(lost)


_OWNERS: Final[Mapping[str, Backend]] = {
    "llamacpp": "llama.cpp",
    "vllm": "vllm",
    "sglang": "sglang",
    "library": "ollama",
    "organization_owner": "lmstudio",
}
"""What stands as ``owned_by`` in the servers' lists of models."""

_MARKS: Final[tuple[tuple[str, str, Backend], ...]] = (
    ("/props", "default_generation_settings", "llama.cpp"),
    ("/api/version", "version", "ollama"),
    ("/api/v0/models", "data", "lmstudio"),
    ("/model_info", "model_path", "sglang"),
    ("/version", "version", "vllm"),
)
"""Path, key of the object that is answered there, and whose answer it is."""


def recognise(headers: Mapping[str, str], answers: Mapping[str, Any]) -> Backend:
    """Which program answered.

    ``headers`` are those of any response; ``answers`` holds, by path, the JSON (or the text)
    that stood there, successful answers only.
    """
    server = next((value for key, value in headers.items() if key.lower() == "server"), "")
    if server.lower().startswith("llama.cpp"):
        return "llama.cpp"
    for entry in _models(answers.get("/v1/models")):
        owner = _OWNERS.get(str(entry.get("owned_by")))
        if owner is not None:
            return owner
    for path, key, backend in _MARKS:
        answer = answers.get(path)
        if isinstance(answer, Mapping) and key in answer:
            return backend
    return "ollama" if answers.get("/") == "Ollama is running" else "unknown"


def _models(answer: Any) -> list[Mapping[str, Any]]:
    """The entries of a server's list of models."""
    entries = answer.get("data") if isinstance(answer, Mapping) else None
    return [e for e in entries if isinstance(e, Mapping)] if isinstance(entries, list) else []


def served_name(backend: Backend, answers: Mapping[str, Any], model: str = "") -> str | None:
    """What a server really runs when a request asks for ``model``, where it tells, else None.

    llama.cpp runs one file whatever it is asked for; vLLM and SGLang know models by other names.
    """
    if backend == "llama.cpp":
        answer = answers.get("/props")
        path = answer.get("model_path") if isinstance(answer, Mapping) else None
        name = PurePosixPath(path.replace("\\", "/")).name if isinstance(path, str) else ""
        return name or None
    if backend in ("vllm", "sglang"):
        for entry in _models(answers.get("/v1/models")):
            root = entry.get("root")
            if entry.get("id") == model and isinstance(root, str):
                return root or None
    return None


_LLAMA_CPP_DEFAULTS: Final = {
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.05,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""What llama.cpp samples with when nobody says anything.  Source: its common.h."""


def declared_by(backend: Backend, payload: Any) -> Declared:
    """What a served model declares; empty where the server shows nothing or something else.

    ``payload`` is what stood at ``DECLARES[backend]``; for vLLM, the model's
    ``generation_config.json`` where somebody has it.
    """
    table = payload if isinstance(payload, Mapping) else {}
    if backend == "llama.cpp":
        settings = table.get("default_generation_settings")
        params = settings.get("params", settings) if isinstance(settings, Mapping) else None
        values = _numbers(params)
        # /props mixes what the file says with defaults of the program, which say nothing.
        own = {k: v for k, v in values.items() if v != _LLAMA_CPP_DEFAULTS[k]}
        return Declared(own, "llama.cpp's /props")
    if backend == "ollama":
        return Declared(_numbers(_modelfile(table.get("parameters"))), "Ollama's /api/show")
    note = "it applies the model's generation_config.json to whatever is not sent, and shows none"
    if backend == "vllm":
        return Declared(_numbers(table), "the model's generation_config.json", f"vLLM: {note}")
    if backend == "sglang":
        values = _numbers(_table(table.get("preferred_sampling_params")))
        return Declared(values, "SGLang's /model_info", f"SGLang: {note}")
    return Declared()


def _table(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _modelfile(text: Any) -> dict[str, Any]:
    """Ollama's ``parameters``: a line a parameter, its name first."""
    lines = text.splitlines() if isinstance(text, str) else []
    parts = [line.split(None, 1) for line in lines]
    return {part[0]: part[1].strip() for part in parts if len(part) == 2}


def _numbers(table: Any) -> dict[str, float]:
    """The sampling values of a table that are numbers, as somebody wrote them."""
    found: dict[str, float] = {}
    for key, value in table.items() if isinstance(table, Mapping) else ():
        name = canonical(str(key))
        if name not in _PARAMETERS or isinstance(value, bool):
            continue
        try:
            # Servers compute in 32 bits: 0.949999988079071 was 0.95.
            number = float(f"{float(value):.6g}")
        except (TypeError, ValueError, OverflowError):
            continue
        if name == "top_k":
            number = int(number) if number == number and abs(number) < 1e9 else number
        found[name] = number
    return found
