"""The settings: layers, the project's limits, and one clear line for what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gptme.config import Config
from gptme.config.models import ProjectConfig, UserConfig

from gptme_reliability.errors import ConfigError
from gptme_reliability.surfaces.gptme import config as settings
from gptme_reliability.types import ModelFacts, Policy

MODEL = "local/qwen3:8b"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in settings.KEYS:
        name = "RELIABILITY_" + key.replace(".", "_").upper()
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"GPTME_{name}", raising=False)


def config(
    user: dict[str, Any] | None = None,
    project: dict[str, Any] | None = None,
    project_env: dict[str, str] | None = None,
) -> Config:
    its = None
    if project is not None or project_env is not None:
        its = ProjectConfig(
            _workspace=Path("/repo"),
            plugin={"reliability": project or {}},
            env=project_env or {},
        )
    return Config(user=UserConfig(plugin={"reliability": user or {}}), project=its)


def values(model: str = MODEL, **layers: Any) -> settings.ModelConfig:
    return settings.load(config(**layers), model)


def fault(user: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        values(user=user)
    return str(caught.value)


def test_off_unless_somebody_turned_it_on() -> None:
    assert values().settings() is None
    assert values(user={"retries": 3}).settings() is None


def test_the_defaults_are_those_of_the_policy() -> None:
    found = values(user={"enabled": True}).settings()
    assert found is not None
    assert found.policy == Policy()
    assert (found.model, found.mode, found.facts) == (MODEL, "on", ModelFacts())


def test_all_of_it() -> None:
    found = values(
        user={
            "enabled": True,
            "mode": "observe",
            "retries": 5,
            "echo_guard": False,
            "policy": {
                "allow": ["lossless"],
                "partial": "hold",
                "aliases": False,
                "max_cost_reading": 20,
                "max_cost_writing": 0,
                "max_added_tokens": 4000,
                "max_added_seconds": 60,
                "backoff": 1,
                "loops": 5,
            },
        }
    ).settings()
    assert found is not None
    assert found.mode == "observe"
    assert found.policy == Policy(
        allow=frozenset({"lossless"}),
        partial="hold",
        retries=5,
        aliases=False,
        max_cost_reading=20,
        max_cost_writing=0,
        max_added_tokens=4000,
        max_added_seconds=60,
        backoff=1.0,
        loops=5,
        echo_guard=False,
    )


def test_the_most_specific_glob_wins_key_by_key() -> None:
    user = {
        "enabled": False,
        "retries": 1,
        "models": {
            "local/qwen3:8b": {"retries": 4},
            "local/*": {"enabled": True, "retries": 2, "notice": False},
            "local/qwen*": {"retries": 3, "policy": {"partial": "hold"}},
        },
    }
    found = values(user=user)
    assert found.values["enabled"] is True
    assert found.values["retries"] == 4
    assert found.values["policy.partial"] == "hold"
    assert found.values["notice"] is False
    assert values("local/qwen2", user=user).values["retries"] == 3
    assert values("local/llama", user=user).values["retries"] == 2
    assert values("openai/gpt-5", user=user).settings() is None
    assert 'models."local/qwen3:8b"' in found.sources["retries"]


def test_facts_of_a_model() -> None:
    user = {"models": {"local/*": {"family": "qwen3", "size_b": 8, "tool_choice": False}}}
    assert values(user=user).facts == ModelFacts(
        family="qwen3", size_b=8.0, tool_choice=False, source="config"
    )


def test_what_the_sampling_of_a_model_is_told() -> None:
    facts = {"sampling": {"temperature": 0.2}, "thinks": False, "quant": "Q4_K_M"}
    told = values(user={"models": {"local/*": facts}}).overrides()
    assert told == {"sampling": {"temperature": 0.2}, "mode": "instruct", "quant": "Q4_K_M"}


def test_a_variable_that_is_no_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with the nearest right one; the keys of proxy and probe are none of them."""
    monkeypatch.setenv("GPTME_RELIABILITY_UPSTREAM_KEY", "x")
    assert values().complaints == ()
    monkeypatch.setenv("GPTME_RELIABILITY_RETRYS", "1")
    (line,) = values().complaints
    assert line == (
        "environment variable GPTME_RELIABILITY_RETRYS is no setting, and ignored; "
        "did you mean GPTME_RELIABILITY_RETRIES?"
    )
    monkeypatch.delenv("GPTME_RELIABILITY_RETRYS")
    monkeypatch.setenv("GPTME_RELIABILITY_QUUX", "1")
    (line,) = values().complaints
    assert line.endswith("GPTME_RELIABILITY_QUUX is no setting, and ignored")


def test_the_environment_is_the_users_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPTME_RELIABILITY_ENABLED", "yes")
    monkeypatch.setenv("GPTME_RELIABILITY_RETRIES", "7")
    monkeypatch.setenv("GPTME_RELIABILITY_POLICY_ALLOW", "lossless, lossy")
    monkeypatch.setenv("GPTME_RELIABILITY_POLICY_ALIASES", "off")
    monkeypatch.setenv("GPTME_RELIABILITY_POLICY_BACKOFF", "0.5")
    monkeypatch.setenv("GPTME_RELIABILITY_POLICY_MAX_ADDED_TOKENS", "800")
    monkeypatch.setenv("GPTME_RELIABILITY_TRACE", "full")
    found = values(user={"enabled": False, "models": {"local/*": {"retries": 1}}})
    assert found.values["enabled"] is True
    assert found.values["retries"] == 7
    assert found.values["policy.allow"] == ("lossless", "lossy")
    assert found.values["policy.aliases"] is False
    assert found.values["policy.backoff"] == 0.5
    assert found.values["policy.max_added_tokens"] == 800
    assert found.values["trace"] == "full"
    assert found.sources["retries"] == "environment variable GPTME_RELIABILITY_RETRIES"


def test_the_environment_is_read_at_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    its = config(user={"enabled": True})
    assert settings.load(its, MODEL) is settings.load(its, MODEL)
    monkeypatch.setenv("GPTME_RELIABILITY_ENABLED", "0")
    assert settings.load(its, MODEL).settings() is None


@pytest.mark.parametrize(
    ("user", "line"),
    [
        (
            {"retrys": 3},
            "[plugin.reliability] has an unknown key 'retrys'; did you mean 'retries'?",
        ),
        (
            {"policy": {"alias": True}},
            "[plugin.reliability] has an unknown key 'policy.alias'; did you mean 'aliases'?",
        ),
        (
            {"models": {"local/*": {"Enabled": True}}},
            "[plugin.reliability.models.\"local/*\"] has an unknown key 'Enabled'; "
            "did you mean 'enabled'?",
        ),
        (
            {"mode": "obsrve"},
            "[plugin.reliability] mode = 'obsrve' must be 'on' or 'observe'; "
            "did you mean 'observe'?",
        ),
        (
            {"policy": {"allow": ["lossles"]}},
            "'lossles' must be 'lossless' or 'inferred' or 'lossy'; did you mean 'lossless'?",
        ),
        ({"retries": 11}, "[plugin.reliability] retries = 11 should be less than or equal to 10"),
        ({"retries": "3"}, "[plugin.reliability] retries = '3' should be a valid integer"),
        ({"enabled": "true"}, "[plugin.reliability] enabled = 'true' should be a valid boolean"),
        ({"lessons": "big"}, "lessons = 'big' must be true or false or 'small'"),
        (
            {"lessons": "true"},
            "lessons = 'true' must be true or false or 'small'; did you mean true?",
        ),
        ({"models": 3}, "[plugin.reliability] models = 3 should be a table"),
        ({"policy": {"order": 3}}, "[plugin.reliability] policy.order = 3 should be a table"),
        (
            {"models": {"local/*": {"sampling": {"top_p": 1, "temprature": 0.7}}}},
            "[plugin.reliability.models.\"local/*\"] has an unknown key 'sampling.temprature'; "
            "did you mean 'temperature'?",
        ),
        (
            {"size_b": 7},
            "[plugin.reliability] has an unknown key 'size_b'; it describes a model, and stands "
            'under [plugin.reliability.models."<glob>"]',
        ),
        ({"force": 3}, "[plugin.reliability] force = 3 should be a valid boolean"),
    ],
)
def test_a_wrong_config_is_named_in_one_line(user: dict[str, Any], line: str) -> None:
    found = fault(user)
    assert line in found
    assert "config.toml: [plugin" in found
    assert "\n" not in found


def test_a_section_that_is_no_table() -> None:
    its = Config(user=UserConfig(plugin={"reliability": True}))  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="must be a table"):
        settings.load(its, MODEL)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RETRIES", "many"),
        ("ENABLED", "perhaps"),
        ("POLICY_BACKOFF", "soon"),
        ("POLICY_BACKOFF", "nan"),
    ],
)
def test_a_wrong_environment_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"GPTME_RELIABILITY_{name}", value)
    with pytest.raises(ConfigError, match=f"environment variable GPTME_RELIABILITY_{name}"):
        values()


USER = {
    "enabled": True,
    "retries": 3,
    "policy": {"allow": ["lossless", "inferred"], "partial": "stand", "aliases": True},
}


@pytest.mark.parametrize(
    ("project", "key", "value"),
    [
        ({"retries": 1}, "retries", 1),
        ({"policy": {"allow": ["lossless"]}}, "policy.allow", ("lossless",)),
        ({"policy": {"allow": []}}, "policy.allow", ()),
        ({"policy": {"partial": "hold"}}, "policy.partial", "hold"),
        ({"policy": {"aliases": False}}, "policy.aliases", False),
        ({"policy": {"max_cost_reading": 0}}, "policy.max_cost_reading", 0),
        ({"policy": {"max_cost_writing": 4}}, "policy.max_cost_writing", 4),
        ({"policy": {"max_added_tokens": 500}}, "policy.max_added_tokens", 500),
        ({"policy": {"max_added_seconds": 9}}, "policy.max_added_seconds", 9),
        ({"policy": {"loops": 2}}, "policy.loops", 2),
        ({"policy": {"failed": "rewind"}}, "policy.failed", "rewind"),
        ({"policy": {"feedback_chars": 500}}, "policy.feedback_chars", 500),
        ({"policy": {"language": "zh"}}, "policy.language", "zh"),
        ({"models": {"local/*": {"retries": 0}}}, "retries", 0),
    ],
)
def test_a_project_may_tighten(project: dict[str, Any], key: str, value: Any) -> None:
    found = values(user=USER, project=project)
    assert found.values[key] == value
    assert found.sources[key].startswith("/repo/gptme.toml [plugin.reliability")
    assert found.complaints == ()


@pytest.mark.parametrize(
    ("project", "key"),
    [
        ({"enabled": False}, "enabled"),
        ({"mode": "observe"}, "mode"),
        ({"retries": 9}, "retries"),
        ({"policy": {"allow": ["lossless", "inferred", "lossy"]}}, "policy.allow"),
        ({"policy": {"allow": ["lossy"]}}, "policy.allow"),
        ({"trace": "off"}, "trace"),
        ({"trace": "full"}, "trace"),
        ({"notice": False}, "notice"),
        ({"lessons": True}, "lessons"),
        ({"unknown": "warn"}, "unknown"),
        ({"contracts": False}, "contracts"),
        ({"models": {"local/*": {"sampling": {"temperature": 0.1}}}}, "sampling"),
        ({"echo_guard": False}, "echo_guard"),
        ({"policy": {"max_cost_reading": 11}}, "policy.max_cost_reading"),
        ({"policy": {"max_cost_writing": 6}}, "policy.max_cost_writing"),
        ({"policy": {"backoff": 0.0}}, "policy.backoff"),
        ({"policy": {"loops": 0}}, "policy.loops"),
        ({"policy": {"loops": 4}}, "policy.loops"),
        ({"policy": {"feedback_chars": 5000}}, "policy.feedback_chars"),
        ({"models": {"local/*": {"family": "qwen"}}}, "family"),
        ({"models": {"*": {"enabled": False}}}, "enabled"),
    ],
)
def test_a_project_may_not_loosen(project: dict[str, Any], key: str) -> None:
    found = values(user=USER, project=project)
    alone = values(user=USER)
    assert (found.values, found.facts) == (alone.values, alone.facts)
    (line,) = found.complaints
    assert line.startswith("/repo/gptme.toml [plugin.reliability")
    assert f"{key} = " in line


def test_a_project_may_not_bring_back_what_the_user_took_out() -> None:
    guarded = values(user={"echo_guard": False}, project={"echo_guard": True})
    assert guarded.values["echo_guard"] is True
    stopped = values(user={"policy": {"loops": 0}}, project={"policy": {"loops": 3}})
    assert stopped.values["policy.loops"] == 3
    bound = {"policy": {"max_added_tokens": 50}}
    wider = values(user=bound, project={"policy": {"max_added_tokens": 51}})
    assert wider.values["policy.max_added_tokens"] == 50 and wider.complaints
    user = {"enabled": True, "policy": {"aliases": False, "partial": "hold"}}
    project = {"policy": {"aliases": True, "partial": "stand"}}
    found = values(user=user, project=project)
    assert (found.values["policy.aliases"], found.values["policy.partial"]) == (False, "hold")
    assert len(found.complaints) == 2


def test_a_project_may_turn_it_on_where_the_user_said_nothing() -> None:
    assert values(project={"enabled": True}).values["enabled"] is True
    found = values(user={"enabled": False}, project={"enabled": True})
    assert found.values["enabled"] is False
    assert found.complaints


def test_a_projects_env_section_sets_nothing() -> None:
    found = values(user={"enabled": True}, project_env={"RELIABILITY_ENABLED": "false"})
    assert found.values["enabled"] is True
    assert "[env] RELIABILITY_ENABLED is ignored" in found.complaints[0]


def test_a_broken_project_config_cannot_turn_the_checks_off() -> None:
    found = values(user={"enabled": True}, project={"retrys": 3, "retries": 0})
    assert found.values["enabled"] is True
    assert found.values["retries"] == 3
    (line,) = found.complaints
    assert "/repo/gptme.toml" in line
    assert "retrys" in line
