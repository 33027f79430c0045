"""The real ``gptme -n`` on a real llama.cpp server, with a real, tiny model.

What the model writes may differ between machines by a few tokens, so that shares of several runs
are asserted and not texts.  The runs go two at a time in the background.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, Final

import pytest
from llama_server import INSTALLED, WHY_NOT, LlamaServer, llama_server
from tiny.gptme_measure import MODEL, sampling
from tiny.gptme_runs import Form, Run, Way, run
from tiny.gptme_talk import NUDGE, asked, prompt, said, stepped, user
from tiny.gptme_task import ALL, Errand, Step
from tiny.template import source

from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import Answer
from gptme_reliability.types import Call

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_server,
    pytest.mark.skipif(not INSTALLED, reason=WHY_NOT),
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups"),
]

FORMS: Final[tuple[Form, ...]] = ("tool", "markdown")


def doing(ask: str, *calls: Call, answer: str = "") -> Errand:
    return Errand(ask, ALL, tuple(Step(ask, call, "", "") for call in calls), answer)


def save(path: str, content: str) -> Call:
    return Call("save", {"path": path, "content": content})


WRITE: Final = (
    doing(
        "make a file maple.txt that says silver rocket button amber castle",
        save("maple.txt", "silver rocket button amber castle"),
    ),
    doing(
        "save velvet lantern walnut copper eagle in notes/tiger.md",
        save("notes/tiger.md", "velvet lantern walnut copper eagle"),
    ),
)
READ: Final = doing("show docs/copper.log", Call("shell", {"command": "cat docs/copper.log"}))
CHAT: Final = doing("hello", answer="Hello! How can I help?")
ERRANDS: Final = (WRITE[0], READ, CHAT)

# Fewer tokens than a call takes, and more than the end of a run.
SHORT: Final = 14
# Tools are told as to a model with native ones, which then writes calls as that one does.
SIGNATURES: Final = {
    "append": "append(path: string, content: string)",
    "complete": "complete()",
    "save": "save(path: string, content: string)",
    "shell": "shell(command: string, background?: boolean)",
}
OWN_DIALECT: Final = (
    source("gptme")
    .replace("# Blocks", "# Tools")
    .replace("{{ section.split('\\n')[0] }}", f"{{{{ {SIGNATURES}[section.split('\\n')[0]] }}}}")
)
SERVERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "usual": {},
    "short": {"most": SHORT},
    "own dialect": {"template": OWN_DIALECT},
}


class World(ExitStack):
    """Servers by name, each started at its first use, and the runs under way."""

    def __init__(self) -> None:
        super().__init__()
        self.launcher = Launcher(warm=True)
        self._servers: dict[str, LlamaServer] = {}
        self._runs: dict[tuple[str, str, Form, bool], Future[Run]] = {}
        self._pool = ThreadPoolExecutor(2)
        self.callback(self._pool.shutdown, cancel_futures=True)
        self.callback(self.launcher.kill)

    def server(self, name: str = "usual") -> LlamaServer:
        if name not in self._servers:
            server = llama_server(MODEL, sampling=sampling(1), **SERVERS[name])
            self._servers[name] = self.enter_context(server)
        return self._servers[name]

    def begin(self, name: str, errand: Errand, form: Form, *, guarded: bool) -> None:
        way, url = Way(form, guarded), self.server(name).url
        future = self._pool.submit(run, errand, way, self.launcher, url)
        self._runs[name, errand.request, form, guarded] = future

    def runs(self, name: str, chosen: Sequence[Errand], form: Form, *, guarded: bool) -> list[Run]:
        return [self._runs[name, one.request, form, guarded].result() for one in chosen]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World() as world:
        for guarded in (False, True):
            for errand in ERRANDS:
                for form in FORMS:
                    world.begin("usual", errand, form, guarded=guarded)
            for errand in WRITE:
                world.begin("short", errand, "markdown", guarded=guarded)
                world.begin("own dialect", errand, "markdown", guarded=guarded)
        yield world


# --- errands ------------------------------------------------------------------------------


@pytest.mark.parametrize("guarded", [False, True], ids=["bare", "plugin"])
@pytest.mark.parametrize("form", FORMS)
def test_errands_are_done(form: Form, guarded: bool, world: World) -> None:
    """Files are really written, a command really runs, words stay words, and every run ends."""
    got = world.runs("usual", ERRANDS, form, guarded=guarded)
    assert [one.exit_code for one in got] == [0] * len(got), explain(got)
    assert sum(one.right for one in got) >= len(got) - 1, explain(got)
    assert any(one.right and one.files != one.given for one in got), explain(got)
    assert not any(one.refused for one in got if one.right), explain(got)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_right_stays_right(form: Form, world: World) -> None:
    bare = world.runs("usual", ERRANDS, form, guarded=False)
    guarded = world.runs("usual", ERRANDS, form, guarded=True)
    changed = [two for one, two in zip(bare, guarded, strict=True) if one.right > two.right]
    assert not changed, explain(changed)


def test_a_call_that_was_cut_off_is_told(world: World) -> None:
    """Bare, the run ends as if all was well."""
    bare = world.runs("short", WRITE, "markdown", guarded=False)
    guarded = world.runs("short", WRITE, "markdown", guarded=True)
    assert all(one.silent for one in bare), explain(bare)
    assert all(one.refused for one in guarded), explain(guarded)
    assert not any(one.ran or one.wrong for one in guarded), explain(guarded)


def test_calls_in_the_models_own_dialect_are_done(world: World) -> None:
    """Bare, gptme passes over them."""
    bare = world.runs("own dialect", WRITE, "markdown", guarded=False)
    guarded = world.runs("own dialect", WRITE, "markdown", guarded=True)
    assert not any(one.ran for one in bare), explain(bare)
    assert any(one.files == one.right_files for one in guarded), explain(guarded)


def explain(runs: Sequence[Run]) -> str:
    """All there is to know of runs."""
    return "\n".join(
        f"{one.errand.request}: exit code {one.exit_code}, ran {one.ran}, files {one.files}\n"
        f"{one.said}\n{one.stderr[-1500:]}"
        for one in runs
    )


# --- the model is what it was trained to be -----------------------------------------------


def shell(command: str, result: str, lead: str = "Ran allowlisted command") -> Step:
    return Step("", Call("shell", {"command": command}), f"{lead}: `{command}`\n\n{result}", "")


def filed(tool: str, path: str, content: str, result: str) -> Step:
    return Step("", Call(tool, {"path": path, "content": content}), result, "")


MISSING: Final = "head: cannot open 'c.txt' for reading: No such file or directory"
LONG: Final = Errand(
    "do it",
    ALL,
    (
        filed("save", "b.txt", "red", "Saved to b.txt"),
        shell("head b.txt", "`red`\n\n"),
        filed("save", "b.txt", "red blue", "Saved to b.txt (overwritten)"),
        shell("head c.txt", f"`{MISSING}`\n\nReturn code: 1\n"),
        shell("mkdir d", "No output\n", "Ran command"),
        filed("append", "b.txt", "green", "Appended to b.txt"),
        shell("head ./b.txt", "```stdout\nred blue\ngreen\n```\n\n"),
    ),
    "Result: red blue green",
)


@pytest.mark.parametrize("form", FORMS)
def test_training_and_gptme_say_the_same(form: Form, world: World) -> None:
    """A whole conversation in training is what the server makes of gptme's own requests."""
    first = asked(LONG, native=form == "tool")
    talk = [*first.messages, *(m for step in LONG.steps for m in stepped(first, step, 0))]
    trained = replace(first, messages=(*talk, said(LONG.answer), user(NUDGE)))
    spoken = [_answer(m) for m in trained.messages if m["role"] == "assistant"]
    spoken.append({"text": "```complete\n```"})
    with FaultyServer(partial(_next, spoken)) as scripted:
        run(LONG, Way(form, guarded=False), world.launcher, scripted.url)
        last = [body for body in scripted.requests if _is_turn(body)][-1]
    sent = {"messages": last["messages"], "tools": last.get("tools", [])}
    assert world.server().post("/apply-template", sent).json()["prompt"] == prompt(trained)


def _answer(message: Mapping[str, Any]) -> Answer:
    """What a scripted server says to have the model say this."""
    calls = [call["function"] for call in message.get("tool_calls", ())]
    return {"calls": calls} if calls else {"text": message["content"]}


def _next(spoken: Sequence[Answer], body: Mapping[str, Any]) -> Answer:
    if not _is_turn(body):
        return {"text": "Title"}
    answered = [message for message in body["messages"] if message["role"] == "assistant"]
    return spoken[len(answered)]


def _is_turn(body: Mapping[str, Any]) -> bool:
    """Whether gptme asks for a turn, and not for a title beside the conversation."""
    return bool(body["messages"][0]["role"] == "system")
