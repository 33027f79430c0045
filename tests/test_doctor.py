"""``gptme-reliability doctor``, and what gptme's own doctor says of the plugin."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gptme.config import Config
from gptme.config.models import ProviderConfig
from local_http import SilentHandler, listening
from plugin_world import own_world

from gptme_reliability.cli import main
from gptme_reliability.commands import examination
from gptme_reliability.surfaces.findings import Finding
from gptme_reliability.surfaces.gptme import checkup, seams
from gptme_reliability.surfaces.listing import is_near_address, shown

__all__ = ["own_world"]

MODEL = "local/qwen3:8b"
LLAMA = {"data": [{"id": "qwen3-8b.gguf", "owned_by": "llamacpp"}]}
OLLAMA = {"data": [{"id": "qwen3:8b", "owned_by": "library"}, {"id": "llama3.1:8b"}]}


@pytest.fixture(autouse=True)
def home(own_world: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home of its own, and no gptme of another environment on the path."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    for name in ("TEMPERATURE", "TOP_P", "MODEL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@contextmanager
def serving(content: Any, status: int = 200) -> Iterator[tuple[str, list[Any]]]:
    """A server with one answer to ``/v1/models``; its address and the headers that it got."""
    heard: list[Any] = []

    class Handler(SilentHandler):
        def do_GET(self) -> None:
            heard.append(dict(self.headers))
            found = self.path == "/v1/models"
            body = json.dumps(content).encode() if found else b"{}"
            self.send_response(status if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with listening(Handler) as url:
        yield f"{url}/v1", heard


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and the findings by what they are about."""
    code = main(["doctor", "--json", *arguments])
    printed = json.loads(capsys.readouterr().out)
    assert printed["ok"] is (code == 0)
    return code, {check["check"]: check for check in printed["checks"]}


# -- all together ---------------------------------------------------------------------------


def test_a_config_that_gptme_cannot_read(tmp_path: Path) -> None:
    """Whoever cannot start gptme asks the doctor."""
    file = tmp_path / ".config" / "gptme" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("[plugins\n")
    made = subprocess.run(
        [sys.executable, "-m", "gptme_reliability.cli", "doctor"], capture_output=True, text=True
    )
    assert made.returncode == 1 and "Traceback" not in made.stderr
    *_, fault, fix = made.stdout.splitlines()
    assert fault.startswith(f"fail  config: gptme cannot read {file}: ")
    assert fix == "      fix: mend that file; gptme does not start until then"


def test_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(LLAMA) as (url, heard):
        code, checks = run(capsys, "--model", MODEL, "--endpoint", url)
    assert code == 0, checks
    assert {check["state"] for check in checks.values()} == {"ok"}
    assert list(checks) == [
        *("package", "gptme", "plugin", "loaded", "config", "enabled", "seams", "clients"),
        *("endpoint", "model", "card"),
    ]
    assert "llama.cpp" in checks["endpoint"]["says"]
    assert "Qwen3" in checks["model"]["says"]
    assert not any("authorization" in map(str.lower, headers) for headers in heard)


def test_a_line_for_each_check_and_the_fix_below(
    own_world: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    own_world.user.plugin["reliability"]["enabled"] = False
    with serving(LLAMA) as (url, _):
        assert main(["doctor", "--model", MODEL, "--endpoint", url]) == 1
    lines = capsys.readouterr().out.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("fail ")]
    assert lines[at] == f"fail  enabled: off for {MODEL}"
    assert lines[at + 1].startswith("      fix: set enabled = true under [plugin.reliability] in /")
    assert lines[at + 2].startswith("ok    seams: ")


@pytest.fixture
def no_gptme(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "gptme" else found(name, *rest),
    )


def test_where_gptme_is_not_installed(no_gptme: None, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(OLLAMA) as (url, _):
        code, checks = run(capsys, "--model", "qwen3:8b", "--endpoint", url)
    assert code == 0
    assert list(checks) == ["package", "gptme", "endpoint", "model", "card"]
    assert checks["gptme"]["state"] == "warn"
    assert checks["gptme"]["fix"] == "pip install gptme, for the plugin"


def test_it_needs_no_gptme() -> None:
    code = (
        "import sys; sys.modules['gptme'] = None; import importlib.util as u; f = u.find_spec; "
        "u.find_spec = lambda n, *r: None if n == 'gptme' else f(n, *r); "
        "from gptme_reliability.cli import main; sys.exit(main(['doctor', '--model', 'qwen3:8b']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    assert "warn  gptme: is not installed for this Python" in done.stdout


# -- the server -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "status", "state", "says"),
    [
        (OLLAMA, 200, "ok", "is "),
        ({"data": [{"id": "other"}]}, 200, "warn", "and lists other"),
        ({"error": "who are you?"}, 401, "ok", "answers and wants a key"),
        ({"error": "no"}, 500, "warn", "answers HTTP 500"),
        ([1], 200, "ok", "a server of an unknown kind"),
    ],
)
def test_what_the_server_answers(
    content: Any, status: int, state: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(content, status) as (url, _):
        code, checks = run(capsys, "--model", MODEL, "--endpoint", url)
    assert code == 0
    assert (checks["endpoint"]["state"], says in checks["endpoint"]["says"]) == (state, True)


def test_a_server_that_is_down(capsys: pytest.CaptureFixture[str]) -> None:
    code, checks = run(capsys, "--model", MODEL)
    assert code == 1
    assert checks["endpoint"]["says"] == "no answer from http://127.0.0.1:9/v1 (ConnectError)"
    assert "OPENAI_BASE_URL" in checks["endpoint"]["fix"]


def test_no_secret_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret-1")
    for address in ("http://me:secret-2@127.0.0.1:9/v1?key=secret-3", "http://[secret-4", "secret"):
        for form in ([], ["--json"]):
            main(["doctor", "--model", MODEL, "--endpoint", address, *form])
    assert "secret" not in capsys.readouterr().out


def test_a_server_of_others_is_asked_only_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://models.example.com/v1")
    monkeypatch.setattr(examination, "list_models", lambda url: pytest.fail(f"{url} was asked"))
    _, checks = run(capsys, "--model", MODEL)
    assert checks["endpoint"]["state"] == "warn"
    assert "--endpoint" in checks["endpoint"]["fix"]


def test_so_it_is_without_gptme(
    no_gptme: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    test_a_server_of_others_is_asked_only_by_name(monkeypatch, capsys)


def test_a_name_is_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    """What is to be typed may stand in a shell as it is."""
    _, checks = run(capsys, "--model", "local/x; rm y")
    assert checks["model"]["fix"] == "gptme-reliability cards new 'local/x; rm y'"
    assert checks["card"]["fix"] == "gptme-reliability cards explain 'local/x; rm y'"


@pytest.mark.parametrize(
    ("address", "near"),
    [
        ("http://localhost:11434/v1", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("http://192.168.1.4/v1", True),
        ("http://box.local/v1", True),
        ("http://gpu-box:8000/v1", True),
        ("https://api.openai.com/v1", False),
        ("http://8.8.8.8/v1", False),
        ("http://[::bad", False),
    ],
)
def test_what_is_near(address: str, near: bool) -> None:
    assert is_near_address(address) is near


def test_an_address_is_shown_without_secrets() -> None:
    assert shown("https://u:p@h.example:8/v1?k=s#f") == "https://h.example:8/v1"
    assert shown("http://[::1]:8/v1") == "http://[::1]:8/v1"


# -- the model ------------------------------------------------------------------------------


def test_an_unknown_model(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(LLAMA | {"data": []}) as (url, _):
        code, checks = run(capsys, "--model", "local/xyzzy", "--endpoint", url)
    assert code == 1
    assert checks["model"]["state"] == "warn"
    assert checks["card"]["state"] == "fail"
    assert checks["card"]["fix"] == "gptme-reliability cards explain local/xyzzy"


def test_a_family_that_the_settings_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is sent to make a card for what a setting says."""
    place = tmp_path / ".config/gptme"
    place.mkdir(parents=True, exist_ok=True)
    section = '[plugin.reliability.models."local/zzz*"]\nfamily = "qwen2.5"\nunknown = "warn"\n'
    (place / "config.toml").write_text(section)
    with serving(LLAMA | {"data": []}) as (url, _):
        _, checks = run(capsys, "--model", "local/zzz-7b", "--endpoint", url)
    assert (checks["model"]["state"], checks["model"]["fix"]) == ("ok", "")
    assert "family qwen2.5, as set" in checks["model"]["says"]


def test_no_model_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    code, checks = run(capsys)
    assert code == 0, checks
    assert checks["model"]["fix"] == "--model NAME, as you give it to gptme"


# -- gptme ----------------------------------------------------------------------------------


def finding(check: str, model: str = MODEL) -> Finding:
    """What the check-up says of one thing."""
    (found,) = [one for one in checkup.examine(model) if one.check == check]
    return found


def _other_plugins(config: Config) -> None:
    config.user.plugins.enabled.append("gptme-reliability")


def _wrong_key(config: Config) -> None:
    config.user.plugin["reliability"]["retrys"] = 1


def _observe(config: Config) -> None:
    config.user.plugin["reliability"]["mode"] = "observe"


@pytest.mark.parametrize(
    ("change", "check", "state", "says", "fix"),
    [
        (_other_plugins, "loaded", "fail", "loads only gptme-reliability", 'add "reliability" to'),
        (_wrong_key, "config", "fail", "did you mean 'retries'?", "until then the plugin is off"),
        (_observe, "enabled", "warn", "only observing", 'mode = "on"'),
    ],
)
def test_settings(
    change: Callable[[Config], None],
    check: str,
    state: str,
    says: str,
    fix: str,
    own_world: Config,
) -> None:
    change(own_world)
    found = finding(check)
    assert found.state == state
    assert says in found.says
    assert fix in found.fix


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The config of the project in the working directory, to be written."""
    (tmp_path / "repo").mkdir()
    monkeypatch.chdir(tmp_path / "repo")
    return tmp_path / "repo" / "gptme.toml"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [("ok", "{file} sets nothing of the plugin")]),
        (
            "[plugin.reliability]\nretries = 1\npolicy.loops = 2",
            [("ok", "{file} sets retries = 1, policy.loops = 2")],
        ),
        (
            '[plugin.reliability.models."local/*"]\nretries = 2\n'
            '[plugin.reliability.models."other/*"]\nretries = 1',
            [("ok", "{file} sets retries = 2")],
        ),
        (
            "[plugin.reliability]\necho_guard = false\nretries = 1",
            [
                ("ok", "{file} sets retries = 1"),
                (
                    "warn",
                    "{file} [plugin.reliability]: echo_guard = false is ignored; only your own "
                    "config or the environment may set it so",
                ),
            ],
        ),
        (
            "[plugin.reliability]\nretrys = 1",
            [
                ("ok", "{file} sets nothing of the plugin"),
                ("warn", "{file}: [plugin.reliability] has an"),
            ],
        ),
        (
            '[env]\nRELIABILITY_RETRIES = "1"',
            [
                ("ok", "{file} sets nothing of the plugin"),
                ("warn", "{file}: [env] RELIABILITY_RETRIES is ignored; a project cannot set it"),
            ],
        ),
        ("retries = = 1", [("fail", "gptme cannot read the gptme.toml of {folder}: Unexpected")]),
    ],
)
def test_the_project_of_the_working_directory(
    text: str, found: list[tuple[str, str]], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What its config sets, and what of it is ignored and why."""
    project.write_text(text)
    main(["doctor", "--json", "--model", MODEL])
    checks = json.loads(capsys.readouterr().out)["checks"]
    told = [(one["state"], one["says"]) for one in checks if one["check"] == "project"]
    assert len(told) == len(found)
    for (state, says), (wanted, begin) in zip(told, found, strict=True):
        assert state == wanted
        assert says.startswith(begin.format(file=project, folder=project.parent))


def test_the_model_of_the_project_is_looked_at(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As gptme does where nobody says which."""
    project.write_text(f'[env]\nMODEL = "{MODEL}"')
    assert MODEL in run(capsys)[1]["model"]["says"]


@pytest.mark.parametrize(
    ("release", "state"),
    [("0.31.0", "fail"), ("0.35.1", "ok"), ("0.36.0", "warn"), ("1.0.0rc1", "warn")],
)
def test_releases(release: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "version", lambda _: release)
    assert finding("gptme").state == state


def test_a_plugin_that_gptme_cannot_find(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "entry_points", lambda **_: ())
    assert finding("plugin").state == "fail"


def test_seams_that_are_gone(own_world: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("gptme.llm.llm_openai.init")
    found = finding("seams")
    assert found.state == "fail"
    assert "gptme.llm.llm_openai.init" in found.says
    assert seams.why_off() is None


def test_a_client_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.delenv("OPENAI_API_KEY")
    found = finding("clients")
    assert found.state == "fail"
    assert "OPENAI_BASE_URL" in found.fix


def test_where_gptme_would_ask(own_world: Config) -> None:
    own_world.user.providers.append(ProviderConfig(name="box", base_url="http://box:1/v1"))
    assert checkup.session(MODEL).endpoint == "http://127.0.0.1:9/v1"
    assert checkup.session("box/qwen3").endpoint == "http://box:1/v1"
    assert checkup.session("anthropic/claude-x").endpoint is None
    assert checkup.session(None).model is None


def test_a_gptme_of_another_environment_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = home / "bin" / "gptme"
    program.parent.mkdir()
    program.write_text("#!/opt/pipx/venvs/gptme/bin/python\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    _, checks = run(capsys)
    assert checks["environment"]["state"] == "warn"
    assert "pipx inject gptme gptme-reliability" in checks["environment"]["fix"]


# -- gptme's own doctor ---------------------------------------------------------------------


def test_gptmes_doctor_finds_the_plugin_in_order(own_world: Config) -> None:
    theirs: Any = pytest.importorskip("gptme.cli.doctor")
    (found,) = [one for one in theirs._check_plugins(True) if one.name == "Plugin: reliability"]
    details = " ".join(found.details if isinstance(found.details, list) else [str(found.details)])
    assert found.status is theirs.CheckStatus.OK, details
    for part in ("security:ok(", "init:ok", "hooks:ok(5 registered)", "commands:ok(2 registered)"):
        assert part in details
    assert found.fix_hint is None


def test_gptmes_doctor_names_a_seam_that_is_gone(
    own_world: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs: Any = pytest.importorskip("gptme.cli.doctor")
    monkeypatch.delattr("gptme.tools.get_tool_for_langtag")
    (found,) = [one for one in theirs._check_plugins(True) if one.name == "Plugin: reliability"]
    assert found.status is theirs.CheckStatus.ERROR
    assert "gptme.tools.get_tool_for_langtag" in str(found.details)
