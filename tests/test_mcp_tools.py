"""Tools of a real MCP server in all of gptme's formats: good calls run, broken ones are mended.

A row is the arguments as a model wrote them.  It is judged by the core, by the definitions that
gptme's registry and the server give, in every format.  With the real gptme and the server
running every row is a turn in one of the formats, all of a format in one conversation.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_talk import talk, text_of
from gptme.config import Config, MCPServerConfig
from gptme.tools import mcp_adapter, set_tools
from gptme.tools.base import ToolSpec
from gptme_home import PLUGIN_ON
from laws import native
from mcp_store import TOOLS
from plugin_world import own_world

from gptme_reliability import Accept, ModelOutput, Retry, ToolDefinition, Verdict, check
from gptme_reliability.evals.gptme_run import COMPLETE, ToolFormat
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import Answer
from gptme_reliability.in_text import check_in_text
from gptme_reliability.surfaces.gptme.mcp_tools import given_parameters, known_parameters
from gptme_reliability.surfaces.gptme.read_only import read_only_tools, request_names
from gptme_reliability.surfaces.gptme.text_format import definition
from gptme_reliability.types import HostFormat

__all__ = ["own_world"]

HERE = Path(__file__).parent
ROWS = [json.loads(line) for line in (HERE / "cases/mcp.jsonl").read_text("utf-8").splitlines()]
FORMS: tuple[ToolFormat, ...] = ("tool", "markdown", "xml")
BLOCKS = {
    "markdown": "```{name}\n{body}\n```",
    "xml": "<tool-use>\n<{name}>\n{body}\n</{name}>\n</tool-use>",
}


def specs(tools: Any = TOOLS, server: str = "store") -> list[ToolSpec]:
    """The server's tools as gptme has them."""
    clients: Any = {server: SimpleNamespace(tools=SimpleNamespace(tools=list(tools)))}
    mcp_adapter._mcp_clients.update(clients)
    listed = clients[server].tools
    config = MCPServerConfig(server)
    return mcp_adapter._build_tool_specs_for_server(config, listed, Config(), clients)


@pytest.fixture(autouse=True)
def connected() -> Iterator[list[ToolSpec]]:
    found = specs()
    set_tools(found)
    yield found
    set_tools([])
    mcp_adapter._mcp_clients.clear()


def block(form: str, tool: str, body: str) -> str:
    return BLOCKS[form].format(name=f"store.{tool}", body=body)


def judged(form: ToolFormat, tool: str, written: str, found: list[ToolSpec]) -> Verdict:
    tools = [one for spec in found if (one := definition(spec)) is not None]
    name = f"store.{tool}"
    if form == "tool":
        return check(ModelOutput(tool_calls=[native(name, written, "c1")]), tools)
    names = {one.name: one.name for one in tools}
    host = HostFormat(form, names, dict.fromkeys(names, "json"), strict=True)
    output = ModelOutput(block(form, tool, written), finish_reason="stop")
    return check_in_text(output, tools, host)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_row(row: Mapping[str, Any], form: ToolFormat, connected: list[ToolSpec]) -> None:
    """What the server would take runs as it is, and only what it would refuse is changed."""
    verdict = judged(form, row["tool"], row["written"], connected)
    if "asks_for" in row:
        assert isinstance(verdict, Retry) and not verdict.calls
        assert row["asks_for"] in verdict.feedback
        return
    assert isinstance(verdict, Accept), verdict
    assert [dict(call.arguments) for call in verdict.calls] == [row["runs"]]
    if row.get("untouched"):
        assert verdict.repairs == ()
        assert form == "tool" or verdict.text == block(form, row["tool"], row["written"])
    elif form != "tool":
        assert verdict.repairs and json.dumps(row["runs"], indent=2) in verdict.text


def test_the_schemas_are_the_servers_own(connected: list[ToolSpec]) -> None:
    """By the names of requests, and for the registry's definitions."""
    given, reading = known_parameters(), read_only_tools()
    for spec, tool in zip(connected, TOOLS, strict=True):
        native_name, name = request_names(spec)
        assert name == f"store.{tool.name}" and native_name.startswith(f"store_{tool.name}_")
        told = {"additionalProperties": False, **tool.inputSchema}
        assert given[native_name] == given[name] == told
        assert reading[native_name] is reading[name] is (tool.name == "count")
        found = definition(spec)
        assert found is not None and found.parameters == told


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "https://example.org/a.json"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/Gone"}}},
        {"type": "object", "properties": {"a": {"type": "string", "minLength": "x"}, "b": 5}},
    ],
)
def test_a_schema_that_nothing_can_be_checked_by_is_left_to_gptme(schema: Any) -> None:
    """Then the definition is the one that gptme makes of it."""
    (spec,) = specs(
        [SimpleNamespace(name="t", description="", inputSchema=schema, annotations=None)]
    )
    assert given_parameters(spec) is None
    found = definition(spec)
    assert found is not None and found.parameters["properties"]["a"]["type"] == "string"


def test_a_schema_of_another_server_of_that_name_is_none(connected: list[ToolSpec]) -> None:
    """The registry's tool has other parameters."""
    specs(
        [
            SimpleNamespace(
                name="put", description="", inputSchema={"properties": {"z": {}}}, annotations=None
            )
        ]
    )
    assert given_parameters(connected[0]) is None


def test_without_a_connection_gptmes_definition_holds(connected: list[ToolSpec]) -> None:
    mcp_adapter._mcp_clients.clear()
    assert known_parameters() == {}
    tool = definition(connected[0])
    assert isinstance(tool, ToolDefinition)
    assert tool.parameters["properties"]["number"]["type"] == "string"


# --- the real gptme, with the server running -----------------------------------------------

MCP = """
[mcp]
enabled = true
auto_start = true

[[mcp.servers]]
name = "store"
enabled = true
command = {python}
args = [{server}, {record}]
"""


class _Rows:
    """A model that makes the calls of these rows, a turn each, and corrects itself when told."""

    def __init__(self, form: ToolFormat, rows: Sequence[Mapping[str, Any]]) -> None:
        self._form = form
        self._left = list(rows)
        self._asked: Mapping[str, Any] | None = None
        self.untold: list[str] = []

    def __call__(self, body: Mapping[str, Any]) -> Answer:
        if self._asked is not None:
            row, self._asked = self._asked, None
            if row["asks_for"] not in text_of(body["messages"][-1]):
                self.untold.append(row["id"])
            return self._answer(row["tool"], row["again"], body)
        if not self._left:
            return COMPLETE[self._form]
        row = self._left.pop(0)
        self._asked = row if "asks_for" in row else None
        return self._answer(row["tool"], row["written"], body)

    def _answer(self, tool: str, written: str, body: Mapping[str, Any]) -> Answer:
        if self._form != "tool":
            return {"text": block(self._form, tool, written)}
        offered = [one["function"]["name"] for one in body["tools"]]
        # gptme before 0.35 offers a tool under its own name.
        (name,) = [name for name in offered if re.match(rf"store[._]{tool}\b|store_{tool}_", name)]
        return {"calls": [{"id": f"call_{len(self._left)}", "name": name, "arguments": written}]}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups")
@pytest.mark.parametrize("form", FORMS)
def test_the_server_gets_what_was_meant(form: ToolFormat, tmp_path: Path) -> None:
    """Each call reaches the server once, with the right values, and nothing else does."""
    rows = ROWS[FORMS.index(form) :: len(FORMS)]
    record = tmp_path / "record.jsonl"
    parts = {"python": sys.executable, "server": HERE / "mcp_store.py", "record": record}
    config = PLUGIN_ON + MCP.format(**{key: json.dumps(str(part)) for key, part in parts.items()})
    model = _Rows(form, rows)
    tools = ["complete", *(f"store.{tool.name}" for tool in TOOLS)]
    run = talk(tmp_path, Launcher(warm=True), model, form, tools=tools, config=config)
    assert run.exit_code == 0, run.stderr
    assert model.untold == []
    got = [json.loads(line) for line in record.read_text("utf-8").splitlines()]
    assert got == [[row["tool"], row["runs"]] for row in rows], run.stderr
    assert not [said for said in run.said("system") if "Error executing" in said]
