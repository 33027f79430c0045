"""Every start of gptme pays for this plugin's import and ``init``: they must bring in nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

IMPORT = "import gptme_reliability.surfaces.gptme.plugin as entry"
START = f"""
import gptme.init
{IMPORT}
from gptme.config import get_config
assert entry.plugin.init(get_config()) is None
entry.plugin.register_hooks()
entry.plugin.register_hooks()
entry.plugin.register_commands()
"""


def modules_after(code: str, home: Path, **env: str) -> set[str]:
    code += "\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", **env},
        capture_output=True,
        text=True,
        check=True,
    )
    *before, last = done.stdout.splitlines()
    assert before == [], "starting must print nothing"
    assert done.stderr == ""
    return set(json.loads(last))


@pytest.mark.parametrize("code", [IMPORT, START], ids=["import", "init"])
def test_starting_imports_nothing_of_weight(code: str, tmp_path: Path) -> None:
    loaded = modules_after(code, tmp_path)
    assert not loaded & {"openai", "anthropic", "jsonschema"}
    assert "gptme_reliability.pipeline" not in loaded
    assert "gptme_reliability.surfaces.client" not in loaded


def test_importing_the_package_does_not_import_gptme(tmp_path: Path) -> None:
    loaded = modules_after("import gptme_reliability", tmp_path)
    assert not [name for name in loaded if name.split(".")[0] in {"gptme", "openai", "pydantic"}]


def test_a_session_with_another_kind_of_provider_does_not_pay_for_ours(tmp_path: Path) -> None:
    code = f"""
{IMPORT}
from gptme.config import get_config, ChatConfig
config = get_config()
config.chat = ChatConfig(model="anthropic/claude-sonnet-4-5")
entry.plugin.init(config)
"""
    assert "gptme.llm.llm_openai" not in modules_after(code, tmp_path)
