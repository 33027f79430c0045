"""gptme's own formats: what is written, our reader and gptme's parser read as the same call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hostile import HOST_OPENING, HOST_PIECES
from hypothesis import example, given
from hypothesis import strategies as st

from gptme_reliability.dialects.encode import EncodingError, encode
from gptme_reliability.dialects.host_blocks import find_blocks
from gptme_reliability.dialects.host_formats import decode_markdown, decode_xml
from gptme_reliability.dialects.shapes import RawCall
from gptme_reliability.types import Call, ToolDefinition


def _tool(name: str, *required: str, **optional: str) -> ToolDefinition:
    properties = {**dict.fromkeys(required, "string"), **optional}
    schema = {key: {"type": kind} for key, kind in properties.items()}
    return ToolDefinition(
        name, {"type": "object", "properties": schema, "required": list(required)}
    )


_TOOLS = [
    _tool("shell", "command", background="boolean"),
    _tool("ipython", "code"),
    _tool("save", "path", "content"),
    _tool("append", "path", "content"),
    _tool("patch", "path", "patch"),
    _tool("hashline_edit", "path", "edit"),
    _tool("read", path="string", start_line="integer", end_line="integer"),
    _tool("request_tool_change", "change_type", "tool_name", "reason"),
    _tool("complete"),
]
_BODY = {"shell": "command", "ipython": "code", "save": "content", "append": "content"}
_BODY |= {"patch": "patch", "hashline_edit": "edit", "read": "path"}
_FORMATS = ("markdown", "xml")
_DECODERS = {"markdown": decode_markdown, "xml": decode_xml}

_AWKWARD = [
    "```", "````", "```py", "```text\nx\n```", "``````", "``````sh", "\n\n", "\n", "x", " ", "\t",
    "'", '"', "\\", '"""', "'''", "#", "<<EOF", "<<'EOF'", "\nEOF\n", "$((1 << 2))", "$'", "é☃😀",
    "<think>", "</think>", "</thinking>", "</shell>", "</tool-use>", "<tool-use>", "&amp;", "&#10;",
    "<", "]]>", "<!-- -->", "@shell(a): {}", "{", "\r", "\r\n", "\x0c", "\x85", "\u2028", "\x00",
]  # fmt: skip
_text = st.lists(
    st.sampled_from(_AWKWARD) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    max_size=9,
).map("".join)


@pytest.fixture(autouse=True, scope="module")
def tools() -> Iterator[None]:
    """gptme's tools, loaded without what their setting up would touch."""
    from contextvars import copy_context

    from gptme.tools import init_tools, set_tools

    names = [tool.name for tool in _TOOLS if tool.name != "request_tool_change"]
    set_tools(copy_context().run(init_tools, names))
    yield
    set_tools([])


def _read_by_gptme(text: str, form: Any) -> list[tuple[str, tuple[str, ...], str | None, Any]]:
    from gptme.tools.base import ToolUse

    return [
        (use.tool, tuple(use.args or ()), use.content, use.kwargs)
        for use in ToolUse.iter_from_content(text, form)
    ]


def _as_gptme(call: Call, form: str) -> tuple[str, tuple[str, ...], str, None]:
    """The call as gptme's markdown or xml parser should give it to the tool."""
    values = dict(call.arguments)
    body = values.pop(_BODY[call.name], "")
    if form == "markdown" and call.name in ("save", "append", "patch"):
        return call.name, (f"{call.name} {values['path']}",), body, None
    line = [word for value in values.values() for word in value.split(" ")]
    return call.name, tuple(line if form == "markdown" else values.values()), body, None


def _raw_calls(text: str, form: str) -> list[RawCall]:
    return [raw for span in _DECODERS[form](text, _TOOLS) for raw in span.calls]


def _assert_carried(calls: Sequence[Call], form: str) -> None:
    written = encode(calls, f"gptme_{form}", _TOOLS)
    assert [(raw.name, raw.arguments) for raw in _raw_calls(written, form)] == [
        (call.name, call.arguments) for call in calls
    ]
    assert _read_by_gptme(written, form) == [_as_gptme(call, form) for call in calls], written


_SAVE = {"path": "my notes/a b.md", "content": "# Title\n\n```py\nprint(1)\n```\n\nend\n"}


@pytest.mark.parametrize(
    ("name", "arguments", "refused"),
    [
        ("shell", {"command": "ls -la"}, ""),
        ("shell", {"command": "cat > a.md <<'EOF'\n```\nit's\n```\nEOF\necho done"}, ""),
        ("shell", {"command": 'echo "a < b && c > d" </shell> &amp;'}, ""),
        ("shell", {"command": "echo 'not closed"}, "markdown"),
        ("shell", {"command": "echo it\\'s  # don't"}, ""),
        ("shell", {"command": "\n ls \n"}, "xml"),
        ("shell", {"command": ""}, ""),
        ("shell", {"command": "echo '</think>'"}, "markdown"),
        ("shell", {"command": "printf 'a\x00b'"}, "xml"),
        ("shell", {"command": "echo a\r\necho b"}, "markdown"),
        ("shell", {"command": "ls", "background": True}, "markdown xml"),
        ("ipython", {"code": 's = """\n```\n"""\nprint(s)'}, ""),
        ("ipython", {"code": "s = '''\n```"}, "markdown"),
        ("save", _SAVE, "xml"),
        ("save", {**_SAVE, "content": _SAVE["content"].strip()}, ""),
        ("save", {"path": "a.md", "content": "`````sh\nls\n`````"}, ""),
        ("save", {"path": "a.md", "content": "```py\nnever closed"}, "markdown"),
        ("save", {"path": "a.md", "content": "<tool-use>\n<shell>\nls\n</shell>\n</tool-use>"}, ""),
        ("save", {"path": 'a "b" <c> & d.md', "content": "x"}, ""),
        ("save", {"path": "a\nb", "content": "x"}, "markdown"),
        ("save", {"path": "", "content": "x"}, "markdown"),
        ("save", {"content": "x"}, "markdown xml"),
        ("append", {"path": "日本語.md", "content": "é☃ 東京 😀"}, ""),
        ("patch", {"path": "a.py", "patch": "<<<<<<< OLD\na\n=======\nb\n>>>>>>> NEW"}, ""),
        ("hashline_edit", {"path": "src/a b.py", "edit": "x = 1"}, ""),
        ("read", {"path": "README.md"}, ""),
        ("read", {}, ""),
        ("read", {"path": "README.md", "start_line": 3}, "markdown xml"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", _FORMATS)
def test_calls_of_gptmes_tools(form: str, name: str, arguments: Any, refused: str) -> None:
    if form in refused.split():
        with pytest.raises(EncodingError, match=name):
            encode([Call(name, arguments)], f"gptme_{form}", _TOOLS)
    else:
        _assert_carried([Call(name, arguments)], form)


def _call(name: str, *values: str) -> Call:
    keys = {"save": ("path", "content"), "patch": ("path", "patch")}.get(name, (_BODY[name],))
    return Call(name, dict(zip(keys, values, strict=False)))


_calls = st.builds(_call, st.sampled_from(["shell", "ipython", "save", "patch"]), _text, _text)


@pytest.mark.parametrize(
    ("names", "carried"),
    [
        (["shell", "shell", "ipython", "ipython"], True),
        (["shell", "ipython", "shell"], False),
        (["shell", "ipython", "shell", "ipython"], False),
        (["readable", "save", "read"], False),
        (["read", "save", "readable"], True),
    ],
)
def test_xml_keeps_the_order_of_several_calls(names: list[str], carried: bool) -> None:
    """gptme runs a call with the first one of its name, whatever stands between them."""
    calls = [Call(name, {"text": str(index)}) for index, name in enumerate(names)]
    known = [_tool(name, "text") for name in dict.fromkeys(names)]
    joined = "\n".join(encode([call], "gptme_xml", known) for call in calls)
    order = [int(use[2] or "") for use in _read_by_gptme(joined, "xml")]
    assert (order == sorted(order)) is carried
    if carried:
        assert encode(calls, "gptme_xml", known) == joined
    else:
        with pytest.raises(EncodingError, match="gptme would run it before"):
            encode(calls, "gptme_xml", known)


@pytest.mark.parametrize("form", _FORMATS)
@given(calls=st.lists(_calls, min_size=1, max_size=3))
@example(calls=[_call("shell", "a"), _call("ipython", "b"), _call("shell", "c")])
def test_any_call_is_carried_or_refused(form: str, calls: list[Call]) -> None:
    try:
        encode(calls, f"gptme_{form}", _TOOLS)
    except EncodingError:
        return
    _assert_carried(calls, form)


@given(arguments=st.dictionaries(_text, st.recursive(_text, st.lists), max_size=3))
def test_the_tool_format_is_read_by_gptme(arguments: dict[str, Any]) -> None:
    calls = [Call("shell", arguments, id="call-1"), Call("save", {"path": "a"})]
    read = _read_by_gptme(encode(calls, "gptme"), "tool")
    assert read == [(call.name, (), None, call.arguments) for call in calls]


@given(text=st.lists(_text | st.just("\n```shell\n") | st.just("\n```\n")).map("".join))
def test_blocks_are_those_that_gptme_finds(text: str) -> None:
    from gptme.codeblock import Codeblock

    expected = [(block.lang, block.content) for block in Codeblock.iter_from_markdown(text)]
    assert [(b.tag, b.content) for b in find_blocks(text) if b.closed] == expected


@given(text=st.lists(_text | st.sampled_from(["<shell>", "<tool-use>", "```shell\n"])).map("".join))
def test_nothing_raises(text: str) -> None:
    for form in _FORMATS:
        spans = _DECODERS[form](text, _TOOLS)
        edges = [edge for span in spans for edge in (span.start, span.end)]
        assert edges == sorted(edges) and all(0 <= edge <= len(text) for edge in edges)


def test_several_values_on_the_line() -> None:
    arguments = {"change_type": "enable_tool", "tool_name": "tmux", "reason": "a long job"}
    call = Call("request_tool_change", arguments)
    assert encode([call], "gptme_markdown", _TOOLS) == (
        "```request_tool_change enable_tool tmux\na long job\n```"
    )
    assert encode([call], "gptme_xml", _TOOLS) == (
        '<tool-use>\n<request_tool_change change_type="enable_tool" tool_name="tmux">\n'
        "a long job\n</request_tool_change>\n</tool-use>"
    )
    spaced = Call(call.name, {**arguments, "tool_name": "two words"})
    with pytest.raises(EncodingError, match=r"\$\.tool_name"):
        encode([spaced], "gptme_markdown", _TOOLS)


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("markdown", "Look:\n```shell\nls\n```\nfine", ("shell", {"command": "ls"}, None)),
        ("markdown", "```shell\nls", ("shell", None, "cut_off")),
        ("markdown", "```save\nx\n```", ("save", {"content": "x"}, None)),
        ("markdown", "```shell now\nls\n```", ("shell", None, "positional")),
        ("markdown", "```complete\n```", ("complete", {}, None)),
        ("markdown", "```complete\nall done\n```", ("complete", None, "positional")),
        ("markdown", "```python\nls\n```", None),
        ("markdown", "<think>\n```shell\nls\n```\n</think>\ndone", None),
        ("xml", "a <tool-use><shell>ls</shell></tool-use>", ("shell", {"command": "ls"}, None)),
        ("xml", "<tool-use><shell>a < b <c></shell>", ("shell", {"command": "a < b <c>"}, None)),
        ("xml", "<tool-use><shell>rm -r", ("shell", None, "cut_off")),
        ("xml", "<tool-use><Shell>ls</Shell></tool-use>", ("Shell", None, "unknown_tool")),
        ("xml", "<tool-use><complete/></tool-use>", ("complete", {}, None)),
        ("xml", "a <tool-use> b", None),
        (
            "xml",
            '<function_calls><invoke name="save" args="a.md">x</invoke></function_calls>',
            ("save", {"path": "a.md", "content": "x"}, None),
        ),
    ],
)
def test_what_models_write(
    form: str, text: str, expected: tuple[str, Mapping[str, Any] | None, str | None] | None
) -> None:
    found = [
        (raw.name, raw.arguments, raw.flaw and raw.flaw.rule) for raw in _raw_calls(text, form)
    ]
    assert found == ([expected] if expected else [])


@pytest.mark.parametrize("piece", HOST_PIECES)
@pytest.mark.parametrize("form", _FORMATS)
def test_hostile_texts(form: str, piece: str) -> None:
    text = HOST_OPENING + piece * (3_000 // len(piece))
    spans = _DECODERS[form](text, _TOOLS)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
