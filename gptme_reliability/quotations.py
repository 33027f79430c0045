"""What of a conversation is material to read: tool results, and what a user's message quotes.

A user who writes a call plainly asks for it; a user who shows one in a fence, in a block of
quotation, in tags or in an attached file does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_RESULT_ROLES: Final = frozenset({"tool", "function"})
# Behind the first words of the talk, hosts put results and files into messages of these roles.
_HOST_ROLES: Final = frozenset({"system", "developer"})

_FENCE: Final = re.compile(r"^[ \t]{0,3}(`{3,64}|~{3,64})([^\n]{0,400})", re.MULTILINE)
_FILE_NAME: Final = re.compile(r"[^\s`]{0,300}[./\\][^\s`]{1,300}")
_BLOCK_QUOTE: Final = re.compile(r"^[ \t]{0,3}((?:>[ \t]{0,3}){1,16})(.*)$", re.MULTILINE)
_INLINE: Final = re.compile(r"(`{1,2})([^`\n]{1,4000})\1")
# Tags in which people and programs hand material to a model.
_TAGS: Final = (
    "file|files|document|documents|document_content|doc|context|content|contents|attachment|"
    "attachments|source|sources|snippet|text|data|page|webpage|website|html|article|email|mail|"
    "message|transcript|conversation|log|logs|output|result|results|search_results|stdout|"
    "stderr|tool_response|tool_result|tool_output|function_results|function_response|"
    "observation|system|example|examples|quote|blockquote|pre|code|diff|patch|paste"
)
_TAG: Final = re.compile(rf"<({_TAGS})(?:[ \t][^<>\n]{{0,400}})?>", re.IGNORECASE)


def quotations(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """All stretches of the conversation that are quoted, in linear time."""
    begun = False
    for message in messages:
        role = message.get("role")
        if role in _RESULT_ROLES or (begun and role in _HOST_ROLES):
            yield from text_parts(message.get("content"))
        elif role == "user":
            for part in text_parts(message.get("content")):
                yield from quoted_parts(part)
        begun = begun or role not in _HOST_ROLES


def quoted_parts(text: str) -> Iterator[str]:
    """What a message quotes: fences, blocks of quotation, code in a line, tagged material."""
    yield from _fenced(text)
    if ">" in text:
        yield "\n".join(match[2] for match in _BLOCK_QUOTE.finditer(text))
    if "`" in text:
        yield from (match[2] for match in _INLINE.finditer(text))
    if "<" in text:
        yield from _tagged(text)


def _fenced(text: str) -> Iterator[str]:
    opening: tuple[int, str] | None = None
    for match in _FENCE.finditer(text):
        if opening is None:
            if _is_file(match[1], match[2].strip()):
                # A file may hold fences of its own, so that nothing tells where it ends.
                yield text[match.end() :]
                return
            opening = (match.end(), match[1])
        elif match[1].startswith(opening[1]) and not match[2].strip():
            yield text[opening[0] : match.start()]
            opening = None
    if opening is not None:
        yield text[opening[0] :]


def _is_file(fence: str, info: str) -> bool:
    """Whether a fence holds an attached file: gptme writes four backticks and the path."""
    return bool(info) and (fence == "````" or _FILE_NAME.fullmatch(info) is not None)


def _tagged(text: str) -> Iterator[str]:
    lowered = text.lower()
    if len(lowered) != len(text):
        lowered = text  # lowering changed the length of some letter
    behind = 0
    while match := _TAG.search(text, behind):
        closing = f"</{match[1].lower()}>"
        # The last one counts: what is tagged may hold such tags itself.
        end = lowered.rfind(closing, match.end())
        behind = end if end >= 0 else len(text)
        yield text[match.end() : behind]


def text_parts(content: Any) -> list[str]:
    """The texts of a message's content, which may come in parts."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    texts = (part.get("text") for part in content if isinstance(part, Mapping))
    return [text for text in texts if isinstance(text, str)]
