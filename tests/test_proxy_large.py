"""Large bodies: what is much work is done aside, in pieces, or not at all."""

from __future__ import annotations

import asyncio
import json
import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from anthropic_world import OFFER, begin, blocks, end, event, stream_of, text, whole
from proxy_world import Upstream, head, proxying, upstream
from pytest_mock import MockerFixture
from scripted_server import (
    CUT,
    DONE,
    GOOD_STREAM,
    ROLE,
    STOP,
    TOOLS,
    Reply,
    call,
    call_chunks,
    chunk,
    completion,
    completion_body,
    serving,
    stream,
    text_chunks,
)

from gptme_reliability import echo, gate, prompt_size
from gptme_reliability.adapters import density, openai_pending
from gptme_reliability.adapters.density import MOST_MARKS, too_dense
from gptme_reliability.dialects import decode
from gptme_reliability.surfaces.asking import Asking
from gptme_reliability.surfaces.proxy import outlet
from gptme_reliability.surfaces.proxy.driving import WORKER

MESSAGES: list[Any] = [{"role": "user", "content": "look around"}]
BODY: dict[str, Any] = {"model": "tiny", "messages": MESSAGES, "tools": TOOLS}
TO_CLAUDE: dict[str, Any] = {"model": "tiny", "messages": MESSAGES, "tools": OFFER, "max_tokens": 9}
DENSE: list[int] = [1] * (MOST_MARKS // 2)
both = pytest.mark.parametrize("streamed", [False, True])


# --- how dense a body is ----------------------------------------------------------------------

VALUES: tuple[Any, ...] = (
    [1, 2.5, None, True],
    {"a": {"b": []}},
    "look, [here] {now}: 1",
    'a "quoted" word, \\ and \\" too',
    "\\" * 5,
    "é大😀\n",
    "",
)


def marks(body: bytes) -> int:
    """The same, in one go."""
    return len(re.sub(rb'"(?:[^"\\]|\\.)*"|\s', b"", body, flags=re.DOTALL))


@pytest.mark.parametrize("piece", [2, 3, 5, 64])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_marks_are_counted_in_pieces(
    piece: int, ascii_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(density, "_PIECE", piece)
    chance = random.Random(piece)
    for _ in range(60):
        value = chance.choices(VALUES, k=6)
        body = json.dumps(value, ensure_ascii=ascii_only, indent=chance.choice([None, 2])).encode()
        for most, dense in ((marks(body), False), (marks(body) - 1, True)):
            monkeypatch.setattr(density, "MOST_MARKS", most)
            assert too_dense(body) is dense, body


@pytest.mark.parametrize(
    "body",
    [
        json.dumps("1, " * MOST_MARKS),
        json.dumps('{"a": [1]}, ' * MOST_MARKS),
        "[" + " " * 2 * MOST_MARKS + "]",
        '"' + "\\\\" * MOST_MARKS + '"',
    ],
    ids=["text", "quoted JSON", "white space", "escapes"],
)
def test_large_is_not_dense(body: str) -> None:
    assert not too_dense(body.encode())


# --- requests ---------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("api", ["openai", "anthropic"])
@pytest.mark.parametrize("path", ["/chat/completions", "/messages"])
def test_a_request_that_is_too_dense(path: str, api: Any, streamed: bool) -> None:
    body = {**(TO_CLAUDE if path == "/messages" else BODY), "extra": DENSE, "stream": streamed}
    with serving() as script, proxying(script.url, upstream_api=api) as url:
        response = httpx.post(url + path, json=body, timeout=60)
    error = response.json()["error"]
    kind = "request_too_large" if path == "/messages" else "invalid_request_error"
    assert (response.status_code, error["type"]) == (413, kind)
    assert str(MOST_MARKS) in error["message"] and "send fewer tools" in error["message"]
    assert path == "/messages" or error["code"] == "request_too_dense"
    assert not script.requests


@pytest.mark.parametrize("path", ["/embeddings", "/completions"])
def test_what_nobody_reads_may_be_dense(path: str) -> None:
    with serving(completion("fine")) as script, proxying(script.url) as url:
        response = httpx.post(url + path, json={"model": "tiny", "input": DENSE}, timeout=60)
    assert response.status_code == 200 and len(script.requests) == 1


# --- answers ----------------------------------------------------------------------------------


def dense_answer(streamed: bool) -> Reply:
    extra: dict[str, Any] = {"logprobs": DENSE}
    if streamed:
        return stream(ROLE, chunk({"content": "Hi."}, **extra), STOP, DONE)
    body = {**completion_body("Hi."), **extra}
    return Reply(json.dumps(body).encode(), headers={"content-type": "application/json"})


def dense_message(streamed: bool) -> Reply:
    if not streamed:
        return whole([text("Hi."), {"type": "odd", "values": DENSE}])
    odd = event({"type": "odd", "values": DENSE})
    return stream_of(*begin(), odd, *blocks([text("Hi.")]), *end("end_turn"))


@both
@pytest.mark.parametrize("mode", ["on", "observe"])
@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_an_answer_that_is_too_dense_goes_on_as_it_came(
    api: Any, mode: str, streamed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gptme_reliability.proxy")
    reply = dense_answer(streamed) if api == "openai" else dense_message(streamed)
    path, body = ("/chat/completions", BODY) if api == "openai" else ("/messages", TO_CLAUDE)
    observing = mode == "observe"
    with (
        serving(reply) as script,
        proxying(script.url, upstream_api=api, observe=observing) as url,
    ):
        response = httpx.post(url + path, json={**body, "stream": streamed}, timeout=60)
    assert response.status_code == 200 and response.content == reply.body
    assert len(script.requests) == 1
    (line,) = (r.getMessage() for r in caplog.records if r.name == "gptme_reliability.proxy")
    assert line.endswith(" unread")


@both
def test_an_answer_that_is_too_dense_is_no_message(streamed: bool) -> None:
    with serving(dense_answer(streamed)) as script, proxying(script.url) as url:
        response = httpx.post(f"{url}/messages", json={**TO_CLAUDE, "stream": streamed}, timeout=60)
    assert response.status_code == (200 if streamed else 502)
    assert "no chat completion" in response.text and "message_stop" not in response.text


@both
def test_a_second_answer_that_is_too_dense_is_none(streamed: bool) -> None:
    """The end is made of the first."""
    cut = completion("I look. ", [call("look", '{"place": "ha')], "length")
    if streamed:
        cut = stream(ROLE, *text_chunks("I look. "), *CUT, chunk({}, "length"), DONE)
    with serving(cut, dense_answer(streamed)) as script, proxying(script.url) as url:
        response = httpx.post(
            f"{url}/chat/completions", json={**BODY, "stream": streamed}, timeout=60
        )
    assert len(script.requests) == 2 and response.status_code == 200
    assert "Hi." not in response.text and "look - the output was cut off" in response.text


# --- who does the work ------------------------------------------------------------------------


@both
def test_a_large_request_does_not_hold_up_the_others(streamed: bool, mocker: MockerFixture) -> None:
    """What is done about its small answer waits in the thread, and the event loop serves on."""
    enough = threading.Event()
    queued = mocker.spy(WORKER, "submit")
    answer = GOOD_STREAM if streamed else completion("It is done.")

    def reply(state: Upstream, write: Any) -> None:
        WORKER.submit(enough.wait, 60)
        queued.reset_mock()
        kind = "text/event-stream" if streamed else "application/json"
        write(head(kind=kind) + answer.body)

    long = [{"role": "user", "content": "Look around the hall. " * 5_000}]
    asked = {**BODY, "messages": long, "stream": streamed}
    with upstream(reply) as state, proxying(state.url) as url, ThreadPoolExecutor() as pool:
        first = pool.submit(httpx.post, f"{url}/chat/completions", json=asked, timeout=60)
        try:
            while not first.done() and not queued.call_count:
                time.sleep(0.01)
            health = url.removesuffix("/v1") + "/healthz"
            assert httpx.get(health, timeout=30).status_code == 200
            assert not first.done()
        finally:
            enough.set()
        assert first.result().content == answer.body


CALL = [*call_chunks(0, "look", '{"place": "hall"}', "a"), chunk({}, "tool_calls")]
GOOD: dict[str, Reply] = {
    "whole": completion("It is done."),
    "streamed": GOOD_STREAM,
    "streamed call": stream(b"".join([*CALL, DONE])),
}


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize(("times", "aside"), [(1, False), (6_000, True)])
def test_an_answer_to_a_large_request_is_judged_aside(
    times: int, aside: bool, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    judge = Asking.answer

    def watched(self: Asking, *heard: Any) -> Any:
        threads.append(threading.current_thread().name)
        return judge(self, *heard)

    monkeypatch.setattr(Asking, "answer", watched)
    asked = {**BODY, "messages": [{"role": "user", "content": "Look around. " * times}]}
    asked["stream"] = kind != "whole"
    with serving(GOOD[kind]) as script, proxying(script.url) as url:
        httpx.post(f"{url}/chat/completions", json=asked, timeout=60)
    assert [thread.startswith("reliability") for thread in threads] == [aside]


def test_a_long_answer_is_written_in_pieces() -> None:
    sent: list[Any] = []

    async def send(part: Any) -> None:
        sent.append(part)

    body = b"0123456789" * 100_000
    asyncio.run(outlet.Outlet(send).whole(200, [], body))
    bodies = [part for part in sent if part["type"] == "http.response.body"]
    assert b"".join(part["body"] for part in bodies) == body and len(bodies) > 3
    assert [part.get("more_body", False) for part in bodies] == [True] * (len(bodies) - 1) + [False]


# --- long texts, a window at a time -----------------------------------------------------------


@pytest.mark.parametrize("window", [1, 2, 3, 7])
def test_words_are_counted_in_windows(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["", "a", "12ab 3_4 über大小", "  ", "word" * 9, "a1" * 9, "1 2 3 four_five", "\n \n"]
    counts = [len(re.findall(r"[^\W\d_]+|\d+", one)) for one in texts]
    monkeypatch.setattr(prompt_size, "_WINDOW", window)
    said = [prompt_size.least_for_messages([{"role": "user", "content": one}]) for one in texts]
    assert said == counts


@pytest.mark.parametrize("window", [1, 2, 3, 7])
def test_quotations_are_squeezed_in_windows(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["", "a b", r"\n" * 9, r"\\n\t 'a'\\" * 5, "\\", " \n\t\\", r"a\nb\\nc\rd\xe"]
    whole = [echo._squeezed(one) for one in texts]
    monkeypatch.setattr(echo, "_WINDOW", window)
    assert [echo._squeezed(one) for one in texts] == whole


LINES = ("@look(a): {", "@", "@look", "\n", "\n", "\r", "a @look(a):", " ", "@look(a b): ", "(a):")


@pytest.mark.parametrize("seed", range(40))
def test_the_hosts_own_line_is_found(seed: int) -> None:
    text = "\n" + "".join(random.Random(seed).choices(LINES, k=12))
    found = re.compile(r"^@[^\r\n]+?\([\w\-:.]+\):", re.MULTILINE).search(text, 1)
    assert gate._hosts_own(text, 1) == (found and found.start())


@pytest.mark.parametrize("before", range(30))
def test_a_word_that_opens_a_call_is_found_across_windows(
    before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "_WINDOW", 10)
    written = f"{' ' * before}\nACTION: look\nAction Input: here\n"
    assert decode._may_open(written)
    assert not decode._may_open(written.replace(":", ";"))


def test_a_digest_tells_long_texts_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_pending, "_WINDOW", 4)
    texts = ["hall", "halls", "hallo", "hello, hall", "hello, hell", "\ud800" * 5, "hall" * 2]
    digests = {openai_pending.digest([{"role": "user", "content": one}]) for one in texts}
    again = {openai_pending.digest([{"role": "user", "content": one}]) for one in texts}
    assert len(digests) == len(texts) and digests == again
