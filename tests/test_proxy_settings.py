"""The settings of single models: every key, from the file and from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from proxy_world import proxying
from scripted_server import TOOLS, Reply, call, completion, serving

from gptme_reliability.errors import ConfigError
from gptme_reliability.surfaces.host import Settings
from gptme_reliability.surfaces.keys import KEYS
from gptme_reliability.surfaces.proxy.options import ModelSettings
from gptme_reliability.types import Order

Read = Callable[[Settings], Any]

# What the plugin does with the terminal, its lessons and its trace has no part in ``Settings``.
SET: dict[str, tuple[str, Any, Read]] = {
    "mode": ('"observe"', "observe", lambda s: s.mode),
    "retries": ("7", 7, lambda s: s.policy.retries),
    "policy.max_added_tokens": ("5", 5, lambda s: s.policy.max_added_tokens),
    "policy.max_added_seconds": ("6", 6, lambda s: s.policy.max_added_seconds),
    "policy.backoff": ("1.5", 1.5, lambda s: s.policy.backoff),
    "policy.loops": ("0", 0, lambda s: s.policy.loops),
    "policy.allow": ('["lossless"]', {"lossless"}, lambda s: s.policy.allow),
    "policy.partial": ('"hold"', "hold", lambda s: s.policy.partial),
    "policy.aliases": ("false", False, lambda s: s.policy.aliases),
    "policy.max_cost_reading": ("1", 1, lambda s: s.policy.max_cost_reading),
    "policy.max_cost_writing": ("2", 2, lambda s: s.policy.max_cost_writing),
    "policy.failed": ('"rewind"', "rewind", lambda s: s.policy.failed),
    "policy.feedback_chars": ("300", 300, lambda s: s.policy.feedback_chars),
    "policy.language": ('"zh"', "zh", lambda s: s.policy.language),
    "policy.rungs": ('["resample"]', ("resample",), lambda s: s.policy.rungs),
    "policy.order": ('{required = ["look"]}', ("look",), lambda s: required(s.policy.order)),
    "echo_guard": ("false", False, lambda s: s.policy.echo_guard),
    "respond": ("true", True, lambda s: s.policy.respond),
    "force": ("true", True, lambda s: s.policy.force),
}
OTHER = {"enabled", "contracts", "unknown", "trace", "notice", "lessons"}


def required(order: Order | None) -> tuple[str, ...]:
    return () if order is None else order.required


def test_every_key_is_looked_at() -> None:
    assert set(KEYS) == set(SET) | OTHER


@pytest.mark.parametrize("key", SET)
@pytest.mark.parametrize("place", ["file", "flag", "flag before file"])
def test_a_key_counts_for_its_models_only(key: str, place: str, tmp_path: Path) -> None:
    written, value, read = SET[key]
    plain = ModelSettings().settings("m-1")
    assert plain is not None and read(plain) != value
    line = f'models."m-*".{key} = {written}'
    file = tmp_path / "proxy.toml"
    file.write_text(f"reliability.{line}\n" if place == "file" else "")
    sets = () if place == "file" else (line,)
    if place == "flag before file" and key == "retries":
        file.write_text(f'[reliability.models."m-1"]\n{key} = 1\n')
    settings = ModelSettings(str(file), sets=sets)
    mine, others = settings.settings("m-1"), settings.settings("other")
    assert mine is not None and others is not None
    assert (read(mine), read(others)) == (value, read(plain))


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("retries=2", "retries", 2),
        ("retries = 2", "retries", 2),
        ("unknown=warn", "unknown", "warn"),
        ('unknown="warn"', "unknown", "warn"),
        ('models."m*".contracts=false', "contracts", False),
        ("policy.partial=hold", "policy.partial", "hold"),
    ],
)
def test_how_a_setting_is_written(text: str, key: str, value: Any) -> None:
    config = ModelSettings(sets=(text,)).of("m1")
    assert (config.values[key], config.sources[key].split(" ")[0]) == (value, "--set")


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (("retries",), "needs a value"),
        (("retrys=1",), "did you mean 'retries'"),
        (("retries=many",), "retries"),
        (("retries=1", "retries=2"), "--set"),
        (("=1",), "--set"),
        (("unknown=perhaps",), "unknown"),
    ],
)
def test_settings_that_are_none(sets: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ModelSettings(sets=sets)


# --- on the wire ------------------------------------------------------------------------------

MESSAGES: list[Any] = [{"role": "user", "content": "look around"}]
CUT = completion(calls=[call("look", '{"place": "ha')], finish="length")
GOOD = completion(calls=[call("look", {"place": "hall"})])
WORDS = completion("It is done.")


def sent(replies: list[Reply], *sets: str, **body: Any) -> tuple[httpx.Response, list[Any]]:
    """The answer to one request, and what the server was asked."""
    given = {"model": "m-1", "messages": MESSAGES, "tools": TOOLS, **body}
    with serving(*replies) as script, proxying(script.url, sets=sets) as url:
        response = httpx.post(f"{url}/chat/completions", json=given, timeout=30)
    return response, script.bodies()


def names(body: Any) -> list[str]:
    return [tool["function"]["name"] for tool in body["tools"]]


def test_respond() -> None:
    _, (plain,) = sent([WORDS])
    spoken = completion(calls=[call("respond", {"text": "It is done."})])
    response, (asked,) = sent([spoken], 'models."m-*".respond=true')
    assert (names(plain), names(asked)) == (["look", "shell"], ["look", "shell", "respond"])
    assert response.json()["choices"][0]["message"]["content"] == "It is done."
    assert "tool_calls" not in response.json()["choices"][0]["message"]


def test_respond_comes_by_itself_for_small_models_nearby() -> None:
    """As in the plugin; ``respond = false`` leaves the tools as they came."""
    _, (small,) = sent([WORDS], model="qwen2.5:3b")
    _, (left,) = sent([WORDS], "respond=false", model="qwen2.5:3b")
    assert (names(small), names(left)) == (["look", "shell", "respond"], ["look", "shell"])


def test_force() -> None:
    response, bodies = sent([CUT, GOOD], "force=true", "policy.backoff=0")
    assert bodies[0]["tool_choice"] == "required"
    response, bodies = sent([CUT, CUT, GOOD], "force=false", "policy.backoff=0")
    assert not [body for body in bodies if body.get("tool_choice") == "required"]
    assert response.status_code == 200


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_retries(retries: int) -> None:
    response, bodies = sent([CUT] * 9, f"retries={retries}", "policy.backoff=0")
    assert len(bodies) == retries + 1
    assert response.headers["x-reliability-attempts"] == str(retries + 1)


def test_classes_of_repairs() -> None:
    in_text = completion('<tool_call>{"name": "Look", "arguments": {"place": "hall"}}</tool_call>')
    for allowed, calls in (('["lossless", "inferred"]', 1), ("[]", 0)):
        response, _ = sent([in_text], f"policy.allow={allowed}", "retries=0")
        made = response.json()["choices"][0]["message"].get("tool_calls") or []
        assert len(made) == calls


def test_observing_one_model() -> None:
    response, bodies = sent([CUT], 'models."m-*".mode=observe')
    assert response.content == CUT.body and len(bodies) == 1
    assert response.headers["x-reliability-mode"] == "observe"


def test_disabled_for_one_model() -> None:
    response, bodies = sent([CUT], 'models."m-*".enabled=false')
    assert response.content == CUT.body and len(bodies) == 1
    assert "x-reliability-mode" not in response.headers


def test_a_name_that_is_no_name() -> None:
    names: tuple[Any, ...] = (None, 5, ["m-1"], {})
    for model in names:
        response, bodies = sent([GOOD], "retries=0", model=model)
        assert response.content == GOOD.body
        assert json.dumps(bodies[0]["model"]) == json.dumps(model)
