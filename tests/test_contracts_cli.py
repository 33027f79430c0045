"""Sampling contracts in the real ``gptme -n``: what goes out, and what is said where none holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.gptme_run import COMPLETE, environment
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import Answer

pytestmark = pytest.mark.slow

_CONFIG: Final = """\
[plugins]
enabled = ["reliability"]

[plugin.reliability]
enabled = true
"""
_BROKEN: Final = '[[models]]\nfamily = "Qwen2.5"\nvalues = 5\n'
_OWN: Final = """\
[source]
grade = 'own'
kind = 'own'

[[models]]
names = ['quizzical-*']
values = { temperature = %s }
"""


@dataclass(frozen=True)
class Ran:
    """What a run of gptme left: its bodies with tools, all it said, and how it ended."""

    bodies: list[Mapping[str, Any]]
    said: str
    exit_code: int | None


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    started = Launcher(warm=True)
    yield started
    started.kill()


Runner = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path, launcher: Launcher) -> Runner:
    """Runs gptme with a model, more config, the user's own cards, and environment variables."""

    def started(
        model: str, config: str = "", cards: Mapping[str, str] | None = None, **variables: str
    ) -> Ran:
        home, workspace = tmp_path / "home", tmp_path / "work"
        settings = home / ".config" / "gptme"
        own = settings / "reliability" / "cards"
        own.mkdir(parents=True)
        workspace.mkdir()
        (settings / "config.toml").write_text(_CONFIG + config, encoding="utf-8")
        for name, text in (cards or {}).items():
            (own / name).write_text(text, encoding="utf-8")
        bodies: list[Mapping[str, Any]] = []

        def answer(body: Mapping[str, Any]) -> Answer:
            if not body.get("tools"):
                return {"text": "ok"}
            bodies.append(body)
            return COMPLETE["tool"]

        out, err = home / "out", home / "err"
        out.touch()
        err.touch()
        with FaultyServer(answer) as server:
            arguments = ["-n", "--no-stream", "--tool-format", "tool", "-m", f"local/{model}"]
            arguments += ["-t", "complete,shell", "--system", "short", "--no-workspace"]
            arguments += ["-w", str(workspace), "Say that you are done."]
            env = environment(home, server.url)
            env |= {"COLUMNS": "4000", "GPTME_LLM_MAX_RETRIES": "3", **variables}
            handle = launcher.start(arguments, cwd=workspace, env=env, out=out, err=err)
            assert handle is not None
            try:
                exit_code = handle.wait(120)
            finally:
                launcher.end(handle)
        said = out.read_text(encoding="utf-8") + err.read_text(encoding="utf-8")
        return Ran(bodies, said, exit_code)

    return started


def test_the_card_goes_out_instead_of_what_gptme_has_hard_wired(run: Runner) -> None:
    """Temperature 0 and top_p 0.1 are nobody's wish."""
    ran = run("qwen2.5:7b-instruct")
    assert ran.exit_code == 0, ran.said
    body = ran.bodies[0]
    assert (body["temperature"], body["top_p"], body["top_k"]) == (0.7, 0.8, 20)
    assert body["tools"][-1]["function"]["name"] == "respond"  # 7B: known by its name


def test_what_the_user_says_goes_out(run: Runner) -> None:
    ran = run("qwen2.5:7b-instruct", TEMPERATURE="0.3")
    assert ran.exit_code == 0, ran.said
    assert (ran.bodies[0]["temperature"], ran.bodies[0]["top_p"]) == (0.3, 0.8)


@pytest.mark.parametrize(
    ("model", "config", "cards", "variables", "says"),
    [
        ("quizzical-9b", "", {}, {}, ("quizzical-9b", "cards new", 'unknown = "warn"')),
        ("qwen2.5:7b-instruct", "", {"mine.toml": _BROKEN}, {}, ("mine.toml",)),
        ("qwq:32b", "", {}, {"TEMPERATURE": "0"}, ("temperature", "greedy")),
        ("ministral-3:8b", "", {}, {"TEMPERATURE": "0.9"}, ("temperature 0.9", "below 0.1")),
        (
            "quizzical-9b",
            "",
            {"one.toml": _OWN % 0.3, "two.toml": _OWN % 0.6},
            {},
            ("one", "two"),
        ),
        (
            "qwen2.5:7b-instruct",
            '\n[plugin.reliability.models."local/*".sampling]\ntemperature = 9\n',
            {},
            {},
            ("temperature",),
        ),
    ],
    ids=["unknown model", "broken card", "greedy", "out of range", "two cards", "no value"],
)
def test_without_a_contract_nothing_is_sent(
    run: Runner,
    model: str,
    config: str,
    cards: Mapping[str, str],
    variables: Mapping[str, str],
    says: tuple[str, ...],
) -> None:
    """One clear message before the first token, and gptme ends with an error."""
    ran = run(model, config, cards, **variables)
    assert ran.bodies == []
    for part in says:
        assert part in ran.said, ran.said
    assert ran.exit_code != 0, ran.said


def test_an_unknown_model_may_be_let_through(run: Runner) -> None:
    ran = run("quizzical-9b", 'unknown = "warn"\n')
    assert ran.exit_code == 0, ran.said
    assert (ran.bodies[0]["temperature"], ran.bodies[0]["top_p"]) == (0, 0.1)
