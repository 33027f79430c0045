"""The gptme plugin with gptme's real objects: clients, hooks, settings, notices, trace, command."""

from __future__ import annotations

import copy
import threading
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from gptme.config import Config, get_config
from gptme.config.models import ProjectConfig
from gptme.hooks import HookType, get_hooks
from gptme.llm import llm_openai
from gptme.plugins.plugin import GptmePlugin
from gptme.tools import set_tool_format
from plugin_world import BREAK, CALL, DEFUSED, MODEL, REPAIRS, RETRY, own_world, report

import gptme_reliability
from gptme_reliability.surfaces.gptme import command, notices, registry, trace
from gptme_reliability.surfaces.gptme.host import host, let_all_calls_run
from gptme_reliability.surfaces.gptme.ledger import Ledger
from gptme_reliability.surfaces.gptme.plugin import init, plugin, register_hooks
from gptme_reliability.surfaces.host import Report
from gptme_reliability.types import (
    Accept,
    RefusedCall,
    Reject,
)

__all__ = ["own_world"]  # a fixture that every test here uses

# -- the manifest ---------------------------------------------------------------------------


def test_the_entry_point_is_found_under_the_name_of_the_plugin() -> None:
    (found,) = entry_points(group="gptme.plugins", name="reliability")
    loaded = found.load()
    assert isinstance(loaded, GptmePlugin)
    assert loaded is plugin
    assert loaded.name == found.name


def test_gptmes_security_scan_finds_nothing() -> None:
    security = pytest.importorskip("gptme.plugins.security")
    package = Path(gptme_reliability.__file__).parent
    sources = sorted(package.rglob("*.py"))
    assert len(sources) > 20
    findings = [security._scan_source(path, path.name) for path in sources]
    assert [finding for found in findings for finding in found] == []


def test_hooks_are_registered_once_however_often(own_world: Config) -> None:
    register_hooks()
    register_hooks()
    for kind in (HookType.STEP_PRE, HookType.GENERATION_PRE):
        assert len([h for h in get_hooks(kind) if h.name.startswith("reliability.")]) == 1


# -- the clients ----------------------------------------------------------------------------


def test_clients_are_wrapped_before_and_after_init(own_world: Config) -> None:
    llm_openai.init("local", own_world)
    early: Any = llm_openai.clients["local"]
    init(own_world)
    assert isinstance(llm_openai.clients, registry.Clients)
    client: Any = llm_openai.clients["local"]
    assert client._inner is early
    del llm_openai.clients["local"]
    assert isinstance(llm_openai.get_client("local"), registry.CheckedClient)
    wrapped = llm_openai.clients
    init(own_world)
    assert llm_openai.clients is wrapped


def test_init_registers_the_client_of_the_session(own_world: Config) -> None:
    from gptme.config import ChatConfig

    own_world.chat = ChatConfig(model=MODEL)
    init(own_world)
    assert registry.self_check().clients == {"local": "waiting"}


def test_init_survives_a_session_without_a_key(
    own_world: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gptme.config import ChatConfig

    monkeypatch.delenv("OPENAI_BASE_URL")
    own_world.chat = ChatConfig(model=MODEL)
    init(own_world)
    assert registry.self_check().ok


def test_what_was_replaced_is_wrapped_again(own_world: Config) -> None:
    init(own_world)
    llm_openai.clients = {}
    llm_openai.init("local", own_world)
    assert not registry.self_check().ok
    registry.ensure(MODEL)
    assert registry.self_check().clients == {"local": "waiting"}


def test_a_wrapped_client_is_a_copy_that_sends_through_ours(own_world: Config) -> None:
    import openai

    init(own_world)
    client: Any = llm_openai.get_client("local")
    assert client.state == "waiting"
    assert str(client.base_url) == "http://127.0.0.1:9/v1/"
    assert client.state == "checked"
    sender = client._client
    assert isinstance(sender, openai.DefaultHttpxClient)
    assert type(sender) is not openai.DefaultHttpxClient
    assert client.max_retries == client._inner.max_retries
    assert client.with_options(timeout=3)._client is sender
    assert isinstance(client.chat.completions, openai.resources.chat.Completions)


def test_a_wrapped_client_behaves_where_gptme_looks_at_it(own_world: Config) -> None:
    init(own_world)
    client: Any = llm_openai.get_client("local")
    assert hash(client) == hash(client)
    assert client._kwargs["api_key"] == "x"
    assert client.state == "waiting"
    assert llm_openai._is_proxy(client) is False
    copy.copy(client)
    llm_openai.reinit("local", "other-key")
    again: Any = llm_openai.get_client("local")
    assert again is not client
    assert isinstance(again, registry.CheckedClient)
    assert again._kwargs["api_key"] == "other-key"
    assert str(again.base_url) == "http://127.0.0.1:9/v1/"


def test_a_client_that_cannot_be_wrapped_still_works(caplog: pytest.LogCaptureFixture) -> None:
    class Odd:
        base_url = "http://odd"

        def with_options(self, **_: Any) -> None:
            raise TypeError("no such option")

    client = registry.CheckedClient(Odd(), "odd")
    assert client.base_url == "http://odd"
    assert client.state == "not checked: TypeError: no such option"
    llm_openai.clients = registry.Clients()
    llm_openai.clients["odd"] = client
    assert registry.self_check().summary == "not checked: odd"


def test_a_gptme_that_keeps_its_clients_elsewhere_is_named(
    own_world: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llm_openai, "clients", None)
    with pytest.raises(RuntimeError, match="keeps its clients elsewhere"):
        init(own_world)
    assert not registry.self_check().ok


# -- several calls in one answer ------------------------------------------------------------


def test_enabled_models_may_make_several_calls(own_world: Config) -> None:
    let_all_calls_run(MODEL)
    assert get_config().get_env_bool(BREAK) is False
    set_tool_format("markdown")
    let_all_calls_run(MODEL)
    assert get_config().get_env_bool(BREAK) is None


def test_models_that_are_off_keep_gptmes_default(own_world: Config) -> None:
    own_world.user.plugin["reliability"] = {"models": {"local/*": {"enabled": True}}}
    let_all_calls_run("openai/gpt-4o")
    assert get_config().get_env_bool(BREAK) is None
    let_all_calls_run(MODEL)
    assert get_config().get_env_bool(BREAK) is False
    let_all_calls_run("openai/gpt-4o")
    assert get_config().get_env_bool(BREAK) is None


def test_what_the_user_set_about_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BREAK, "1")
    let_all_calls_run(MODEL)
    assert get_config().get_env_bool(BREAK) is True
    let_all_calls_run("openai/gpt-4o")
    assert get_config().get_env_bool(BREAK) is True


# -- the host -------------------------------------------------------------------------------


def test_settings_follow_the_model_of_the_request(own_world: Config) -> None:
    own_world.user.plugin["reliability"] = {"models": {"local/qwen*": {"enabled": True}}}
    found = host.settings("local", {"model": "qwen3"})
    assert found is not None
    assert found.model == "local/qwen3"
    assert host.settings("local", {"model": "llama"}) is None
    assert host.settings("local", {}) is None


def test_a_wrong_config_turns_it_off_with_one_line(
    own_world: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    own_world.user.plugin["reliability"] = {"enabled": True, "retrys": 1}
    for _ in range(3):
        assert host.settings("local", {"model": "qwen3"}) is None
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "did you mean 'retries'? (the plugin is off until this is mended)" in err


def test_a_project_that_loosens_gets_one_line(
    own_world: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    own_world.project = ProjectConfig(
        _workspace=Path("/repo"), plugin={"reliability": {"enabled": False}}
    )
    for _ in range(3):
        assert host.settings("local", {"model": "qwen3"}) is not None
    assert capsys.readouterr().err.count("/repo/gptme.toml") == 1


@pytest.mark.parametrize(
    ("call_id", "usable"),
    [("call_1", True), ("a-b:c.d", True), ("", False), ("a|b", False), ("a\n", False)],
)
def test_usable_ids(call_id: str, usable: bool) -> None:
    assert host.usable_id(call_id) is usable


# -- what the user sees ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (report(), None),
        (report(Accept((CALL,), "hi")), None),
        (
            report(Accept((CALL,), "", REPAIRS), asked=1),
            "shell: repaired 2 (types, name) · asked again once",
        ),
        (report(Accept((CALL,)), asked=2), "asked again twice"),
        (
            report(Reject("no", (), refused=(RefusedCall("run", "unknown tool"),)), asked=3),
            "asked again 3 times · refused run: unknown tool",
        ),
        (report(Reject("nothing came", ())), "gave up: nothing came"),
        (report(Accept(()), repairs=(DEFUSED,)), "made 1 passage of text inert"),
        (
            report(error="KeyError at client.py:3"),
            "failed, the answer is as the model wrote it (KeyError at client.py:3)",
        ),
        (
            report(Accept((CALL,), "", REPAIRS[:1]), mode="observe"),
            "observing, nothing changed: shell: repaired 1 (types)",
        ),
    ],
)
def test_summary(given: Report, line: str | None) -> None:
    assert notices.summary(given) == line


def test_a_notice_goes_to_stderr_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "bad\x1b[31m\nname"
    host.done(report(Reject("no", (), refused=(RefusedCall("x", reason),))))
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "reliability: refused x: bad [31m name\n"


def test_a_notice_can_be_turned_off(own_world: Config, capsys: pytest.CaptureFixture[str]) -> None:
    own_world.user.plugin["reliability"]["notice"] = False
    host.done(report(Accept((CALL,), "", REPAIRS)))
    assert capsys.readouterr().err == ""


def test_other_threads_leave_the_terminal_alone(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        host.asking_again(1, 2, RETRY)
        host.done(report(Accept((CALL,), "", REPAIRS)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert capsys.readouterr() == ("", "")


def test_a_re_ask_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    host.asking_again(1, 2, RETRY)
    assert capsys.readouterr().err == "reliability: asking again (1/2): 'command' is missing\n"


def test_done_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Report) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(notices, "summary", broken)
    host.done(report(Accept((CALL,))))


# -- /reliability ---------------------------------------------------------------------------


def test_the_command_tells_it_all(own_world: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    from gptme.llm.models import set_default_model

    book = Ledger()
    monkeypatch.setattr(command, "ledger", book)
    set_default_model(MODEL)
    init(own_world)
    book.note("process", report(Accept((CALL,), "", REPAIRS), asked=1))
    text = "\n".join(command.describe())
    assert MODEL in text
    assert "state          on" in text
    assert "retries = 3  (default)" in text
    assert "enabled = true" in text
    assert "sampling       nothing agreed yet" in text
    assert "all OpenAI-compatible clients are wrapped" in text
    assert "1 answers, 2 repairs, 1 re-asks" in text
    assert "shell: repaired 2 (types, name) · asked again once" in text
    assert str(trace.path()) in text


@pytest.mark.parametrize(
    ("model", "said", "known"),
    [
        (
            "local/qwen2.5:7b-instruct-q4_K_M",
            {},
            "family Qwen2.5, size_b 7, quant Q4_K_M; gets",
        ),
        ("local/qwen2.5:7b", {}, "gets the tool for talking"),
        ("local/qwen2.5:14b", {}, "does not get the tool for talking"),
        ("local/qwen2.5:7b", {"respond": False}, "does not get the tool for talking"),
        (
            "openai/gpt-oss-1b",
            {"models": {"*": {"size_b": 1}}},
            "does not get the tool for talking",
        ),
        ("local/mine", {}, "nothing; does not get the tool for talking"),
        ("local/mine", {"models": {"*": {"size_b": 3}}}, "size_b 3; gets the tool for talking"),
    ],
)
def test_the_command_tells_what_is_known_of_the_model(
    own_world: Config, model: str, said: dict[str, Any], known: str
) -> None:
    from gptme.llm.models import set_default_model

    own_world.user.plugin["reliability"] = {"enabled": True, **said}
    set_default_model(model)
    (line,) = (line for line in command.describe() if line.startswith("known"))
    assert known in line


def test_the_command_names_a_wrong_config(own_world: Config) -> None:
    own_world.user.plugin["reliability"] = {"retrys": 1}
    text = "\n".join(command.describe())
    assert "off, the config is wrong" in text
    assert "did you mean 'retries'?" in text


def test_the_command_leaves_the_conversation_alone(capsys: pytest.CaptureFixture[str]) -> None:
    class Manager:
        undone = 0

        def undo(self, count: int, quiet: bool) -> None:
            self.undone += count

        def write(self) -> None:
            pass

    class Context:
        manager = Manager()

    assert list(command.run(Context())) == []
    assert Context.manager.undone == 1
    assert "clients" in capsys.readouterr().out


def test_the_ledger_keeps_the_last_events_of_each_conversation() -> None:
    book = Ledger()
    for number in range(30):
        book.note("one", report(error=f"fault {number}"))
    book.note("two", report(Accept((CALL,))))
    assert len(book.account("one").events) == 10
    assert "fault 29" in book.account("one").events[-1][1]
    assert book.account("one").counts["failures"] == 30
    assert not book.account("two").events
    assert not book.account("three").counts
