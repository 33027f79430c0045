"""The event reader: same events and same bytes for any chunking."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptme_reliability.adapters.sse import Event, EventReader, encode_event


def read(stream: bytes, size: int) -> list[Event]:
    reader = EventReader()
    events: list[Event] = []
    for start in range(0, len(stream), size):
        events += reader.feed(stream[start : start + size])
    return events + reader.close()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_every_line_ending_at_every_chunk_size(end: bytes, size: int) -> None:
    lines = [b": hello", b"", b"event: note", b"data: one", b"data:two", b"", b"data: [DONE]", b""]
    stream = end.join(lines) + end
    events = [event for event in read(stream, size) if event.raw.strip()]
    assert [event.data for event in events] == [None, "one\ntwo", "[DONE]"]
    assert events[1].name == "note"
    assert events[2].done
    assert all(event.terminated for event in events)


@given(
    st.lists(st.sampled_from([b"data: x", b"\n", b"\r", b"\r\n", b": c", b"data", b"\xff", b"e:"])),
    st.integers(1, 7),
)
def test_nothing_is_lost_and_chunking_does_not_matter(parts: list[bytes], size: int) -> None:
    stream = b"".join(parts)
    events = read(stream, size)
    assert b"".join(event.raw for event in events) == stream
    whole = read(stream, len(stream) + 1)
    assert [e.data for e in events if e.data] == [e.data for e in whole if e.data]


def test_a_stream_that_ends_inside_an_event_says_so() -> None:
    (event,) = read(b'data: {"half', 5)
    assert (event.data, event.terminated) == ('{"half', False)


def test_a_byte_order_mark_is_no_part_of_a_field() -> None:
    assert read(b"\xef\xbb\xbfdata: x\n\n", 1)[0].data == "x"


def test_what_is_written_is_read() -> None:
    assert [e.data for e in read(encode_event('{"a":1}'), 4)] == ['{"a":1}']


def test_a_long_event_byte_by_byte() -> None:
    (event,) = read(b"data: " + b"x" * 80_000 + b"\n\n", 1)
    assert event.data == "x" * 80_000


@pytest.mark.parametrize("nothing", [b"\n", b"\r\n", b":\n\n", b": x\n\n"])
@pytest.mark.parametrize("first", [b"", b"data: x\n\n", b"data: x\r\n\r\n"])
def test_what_says_nothing_is_one_event_for_each_chunk(first: bytes, nothing: bytes) -> None:
    """A server can send much of it, and each event costs more than its bytes."""
    stream = first + nothing * 10_000 + b"data: y\n\n"
    events = read(stream, 4096)
    assert [event.data for event in events if event.data] == (["x", "y"] if first else ["y"])
    assert len(events) < 3 * len(stream) // 4096 + 10
