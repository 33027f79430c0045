"""Bodies as bytes: whatever was read as JSON is written as JSON that says the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gptme_reliability.adapters.encoding import encode


def strict(raw: bytes) -> Any:
    def refuse(word: str) -> Any:
        raise ValueError(word)

    return json.loads(raw, parse_constant=refuse)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":[1e999,-1e999],"b":{"c":1E400}}',
        b'{"a":1e999,"b":"1e999 Infinity \\u00e4 \\ud800"}',
        '{"a":"ä","b":[1.5,true,null]}'.encode(),
    ],
)
def test_a_number_too_large_to_be_read_stays_one(raw: bytes) -> None:
    body = json.loads(raw)
    assert strict(encode(body)) == body


def test_what_is_no_json_is_only_written_where_it_came() -> None:
    assert encode(json.loads('{"a":NaN,"b":Infinity}')) == b'{"a":NaN,"b":1e999}'
