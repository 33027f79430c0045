"""How many tokens a server says that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gptme_reliability.backends import Backend
from gptme_reliability.prompt_size import as_tokens

PLACES: Final[Mapping[Backend, tuple[str, ...]]] = {
    "llama.cpp": ("/props", "/v1/models"),
    "ollama": ("/api/ps", "/api/show"),
    "lmstudio": ("/api/v0/models",),
}
"""Where a backend tells it; all others, if at all, in their list of models.

Sources: llama.cpp's server README, Ollama's api.md, LM Studio's REST API page, vLLM's protocol.py.
"""

LIST: Final = "/v1/models"
_MODEL_WANTED: Final = "/api/show"


@dataclass(frozen=True, slots=True)
class Context:
    """Tokens of prompt and answer together; None where nothing is said.

    ``serving`` is what the server runs with, ``trained`` what the model was made for.
    """

    serving: int | None = None
    trained: int | None = None
    source: str = ""


def body_for(path: str, model: str) -> dict[str, Any] | None:
    """What to POST there; None for a GET."""
    return {"model": model} if path == _MODEL_WANTED else None


def declared_context(backend: Backend, answers: Mapping[str, Any], model: str) -> Context:
    """What these answers, by path, say of ``model``."""
    if backend == "llama.cpp":
        settings = _table(_table(answers.get("/props")).get("default_generation_settings"))
        trained = as_tokens(_table(_entry(answers.get(LIST), model).get("meta")).get("n_ctx_train"))
        return _context(as_tokens(settings.get("n_ctx")), trained, "/props")
    if backend == "ollama":
        return _ollama(answers, model)
    if backend == "lmstudio":
        entry = _entry(answers.get("/api/v0/models"), model)
        serving = as_tokens(entry.get("loaded_context_length"))
        return _context(serving, as_tokens(entry.get("max_context_length")), "/api/v0/models")
    return _context(as_tokens(_entry(answers.get(LIST), model).get("max_model_len")), None, LIST)


def _ollama(answers: Mapping[str, Any], model: str) -> Context:
    shown = _table(answers.get("/api/show"))
    lengths = [
        as_tokens(value)
        for key, value in _table(shown.get("model_info")).items()
        if str(key).endswith(".context_length")
    ]
    trained = lengths[0] if lengths else None
    running = _table(answers.get("/api/ps")).get("models")
    for entry in running if isinstance(running, list) else ():
        row = _table(entry)
        if model in (row.get("name"), row.get("model"), _tagless(row.get("name"))):
            return _context(as_tokens(row.get("context_length")), trained, "/api/ps")
    return _context(None, trained, "/api/show")


def _tagless(name: Any) -> Any:
    return name.removesuffix(":latest") if isinstance(name, str) else name


def _context(serving: int | None, trained: int | None, source: str) -> Context:
    said = serving is not None or trained is not None
    return Context(serving, trained, source) if said else Context()


def _entry(answer: Any, model: str) -> Mapping[str, Any]:
    """The entry of a model in a list; the only one where there is no other."""
    listed = _table(answer).get("data")
    entries = [_table(entry) for entry in listed] if isinstance(listed, list) else []
    named = [entry for entry in entries if entry.get("id") == model]
    return next(iter(named or (entries if len(entries) == 1 else ())), {})


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
