"""The fenced blocks of a text as gptme finds them, so that both read the same blocks.

gptme does not read Markdown by the book: a bare fence closes a block only by what stands around
it, a fence inside an open quotation or heredoc of a script is part of the script, and all up to
the end of reasoning is dropped.  Source: ``gptme/codeblock.py`` of gptme 0.35.1.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

_FENCE: Final = re.compile(r"`{3,}")
_JOINED: Final = re.compile(r"`{6}[^`\s]")
_JOINED_BEHIND: Final = re.compile(r"`{3,}\S")
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_REASONING: Final = ("thinking", "think")
_SHELLS: Final = frozenset({"shell", "sh", "bash", "zsh", "fish", "ksh", "nu", "ps1", "powershell"})
_PYTHON: Final = "ipython"
_CONFIRMED_WITHIN: Final = 200
"""A heredoc counts only where its end stands within this many lines."""
_NESTED_WITHIN: Final = 20
_MORE_WITHIN: Final = 5


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: what stands behind the opening fence, and between the fences.

    ``start`` and ``end`` are where its fences begin and end in the text; a block that is not
    ``closed`` reaches to the end of the text.
    """

    tag: str
    content: str
    start: int
    end: int
    closed: bool = True


class _Line(NamedTuple):
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    def behind(self, count: int) -> _Line:
        return _Line(self.text[count:], self.start + count)


def find_blocks(text: str) -> Iterator[Block]:
    """The blocks in order, the unclosed one at the end included."""
    begin = behind_reasoning(text) if "```" in text else None
    return iter(()) if begin is None else _Finder(_lines(text, begin)).blocks()


def open_script(tool: str, lines: Sequence[str]) -> bool:
    """Whether a script of this tool ends within a quotation or a here-document."""
    script = _Script(tool)
    for line in lines if script.known else ():
        word = script.read(line)
        script.heredoc = word or script.heredoc
    return script.quoting or script.heredoc is not None


def _lines(text: str, begin: int) -> list[_Line]:
    lines: list[_Line] = []
    for match in _LINE_END.finditer(text, begin):
        lines.append(_Line(text[begin : match.start()], begin))
        begin = match.end()
    return [*lines, _Line(text[begin:], begin)]


def behind_reasoning(text: str) -> int | None:
    """Where the text begins behind its reasoning; None where reasoning never ends.

    A tag that opens amid a line, as behind a fence, opens no reasoning.
    """
    joined_end = -1
    for name in _REASONING:
        end = text.find(f"</{name}>")
        if end < 0:
            continue
        behind = end + len(name) + 3
        if _opens(text, name, 0, end) >= 0 or f"<{name}>" not in text[:end]:
            return behind
        joined_end = behind
    for name in _REASONING:
        opened = _opens(text, name, max(joined_end, 0), len(text))
        if opened >= 0 and (joined_end < 0 or f"</{name}>" not in text[opened:]):
            return None
    return 0


def _opens(text: str, name: str, start: int, end: int) -> int:
    """Where the tag opens at the beginning of a line; -1 when it does not."""
    tag = f"<{name}>"
    if text.startswith(tag, start, end):
        return start
    return text.find("\n" + tag, start, end)


class _Finder:
    def __init__(self, lines: list[_Line]) -> None:
        self._lines = lines
        self._stripped: dict[str, list[int]] = {}

    def blocks(self) -> Iterator[Block]:
        index = 0
        while index < len(self._lines):
            line = self._lines[index]
            if _JOINED.match(line.text):
                line = self._lines[index] = line.behind(3)
            if fence := _FENCE.match(line.text):
                block, index = self._block(index, fence[0])
                yield block
            else:
                index += 1

    def _block(self, opening: int, fence: str) -> tuple[Block, int]:
        """The block that opens here, and the line at which to go on."""
        first = self._lines[opening]
        tag = first.text[len(fence) :].strip()
        script = _Script(tag)
        depth = 1
        for index in range(opening + 1, len(self._lines)):
            line = self._lines[index]
            ticks = _FENCE.match(line.text)
            if ticks and depth == 1 and _joined(line.text, fence):
                self._lines[index] = line.behind(len(fence))
                return self._made(tag, opening, index, line.start + len(fence)), index
            if script.known:
                self._read_script(script, index)
            if ticks is None:
                continue
            bare = line.text.strip() == ticks[0]
            if bare and (ticks[0] == fence or depth > 1):
                if script.quoting:
                    continue
                if depth > 1:
                    depth -= 1
                elif self._closes(index, script):
                    return self._made(tag, opening, index, line.end), index + 1
                elif self._nests(index):
                    depth += 1
            elif not script.in_docstring and _is_tag(line.text[len(ticks[0]) :].strip()):
                depth += 1
        last = len(self._lines)
        return self._made(tag, opening, last, self._lines[-1].end, closed=False), last

    def _made(self, tag: str, opening: int, end: int, stop: int, closed: bool = True) -> Block:
        content = "\n".join(line.text for line in self._lines[opening + 1 : end])
        return Block(tag, content, self._lines[opening].start, stop, closed)

    def _closes(self, index: int, script: _Script) -> bool:
        """Whether a bare fence closes the block: behind it nothing follows, or it is a script."""
        if index + 1 >= len(self._lines):
            return True
        following = self._lines[index + 1].text
        if not following.strip() or _FENCE.match(following):
            return True
        return script.known and script.heredoc is None

    def _nests(self, index: int) -> bool:
        """Whether a bare fence amid text opens a block that is closed before the text ends."""
        for behind in range(index + 1, min(index + _NESTED_WITHIN, len(self._lines))):
            stripped = self._lines[behind].text.strip()
            if stripped and not stripped.strip("`") and len(stripped) >= 3:
                more = self._lines[behind + 1 : behind + _MORE_WITHIN]
                return any(line.text.strip() for line in more)
            if _FENCE.match(self._lines[behind].text):
                return False
        return False

    def _read_script(self, script: _Script, index: int) -> None:
        candidate = script.read(self._lines[index].text)
        if candidate is not None and self._ends_soon(candidate, index):
            script.heredoc = candidate

    def _ends_soon(self, terminator: str, index: int) -> bool:
        """Whether the terminator stands alone on one of the next lines."""
        if not self._stripped:
            for number, line in enumerate(self._lines):
                self._stripped.setdefault(line.text.strip(), []).append(number)
        places = self._stripped.get(terminator, [])
        place = bisect_right(places, index)
        return place < len(places) and places[place] <= index + _CONFIRMED_WITHIN


def _joined(line: str, fence: str) -> bool:
    """Whether a closing fence runs into the next opening one, or into reasoning."""
    if not line.startswith(fence):
        return False
    rest = line[len(fence) :]
    return bool(_JOINED_BEHIND.match(rest)) or rest.startswith(("<think>", "<thinking>"))


def _is_tag(text: str) -> bool:
    return bool(text) and (text[0].isalnum() or text[0] in "_/.~")


_DOUBLE: Final = re.compile(r'\\.?|"')
_SINGLE: Final = re.compile(r"\\.?|'")
_SHELL_STATES: Final = {
    "": re.compile(r"\\.?|\$'|['\"#]|\$\(\(|<<"),
    '"': _DOUBLE,
    "'": re.compile("'"),
    "$'": _SINGLE,
}
_PYTHON_STATES: Final = {
    "": re.compile(r"\"\"\"|'''|['\"#]"),
    '"': _DOUBLE,
    "'": _SINGLE,
    '"""': re.compile(r'\\.?|"""'),
    "'''": re.compile(r"\\.?|'''"),
}
_HEREDOC: Final = re.compile(r"<<-?\s*['\"\\]?([^\s'\"\\]+)")


class _Script:
    """Where in its quotations and heredocs a script stands; a text without any is none.

    ``state`` is the quotation mark that is open, ``heredoc`` the line that ends the open one.
    """

    def __init__(self, tag: str) -> None:
        self._shell = tag in _SHELLS
        self._python = tag == _PYTHON
        self.known = self._shell or self._python
        self.state = ""
        self.heredoc: str | None = None

    @property
    def in_docstring(self) -> bool:
        return self._python and len(self.state) == 3

    @property
    def quoting(self) -> bool:
        """Whether a fence that stands here is part of a quotation."""
        return self.in_docstring or (self._shell and bool(self.state))

    def read(self, line: str) -> str | None:
        """Read one line; gives the word that ends the heredoc it may open."""
        if self._python:
            self._read_python(line)
        elif self._shell and self.heredoc is None:
            return self._read_shell(line)
        elif self.heredoc is not None and line.strip() == self.heredoc:
            self.heredoc, self.state = None, ""
        return None

    def _read_python(self, line: str) -> None:
        position = 0
        while token := _PYTHON_STATES[self.state].search(line, position):
            position = token.end()
            if token[0] == "#":
                break
            self._quote(token[0])
        backslashes = len(line) - len(line.rstrip("\\"))
        if len(self.state) == 1 and backslashes % 2 == 0:
            self.state = ""

    def _read_shell(self, line: str) -> str | None:
        position = 0
        while token := _SHELL_STATES[self.state].search(line, position):
            start, position = token.span()
            if token[0] == "#":
                if start == 0 or line[start - 1].isspace():
                    return None
            elif token[0] == "$((":
                closing = line.find("))", start + 2)
                if closing < 0:
                    return None
                position = closing + 2
            elif token[0] == "<<":
                position, word = _heredoc(line, start)
                if word is not None:
                    return word
            else:
                self._quote(token[0])
        return None

    def _quote(self, token: str) -> None:
        if not token.startswith("\\"):
            self.state = "" if self.state else token


def _heredoc(line: str, start: int) -> tuple[int, str | None]:
    """The word behind ``<<``, or where to go on: behind a here-string or a shift."""
    if start and line[start - 1] == "<":
        return start + 1, None
    if line.startswith("<<<", start):
        return start + 2, None
    match = _HEREDOC.match(line, start)
    if match is None:
        return start + 1, None
    shift = match[1].lstrip("+-").isdigit()
    return start + 2, None if shift else match[1]
