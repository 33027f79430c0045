"""What the design note says of several replicas behind nginx, held by real nginx."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import pytest
from documents import text
from nginx_world import NGINX, SHOWN, WHY_NOT, Running, changed, nginx
from proxy_world import Reply, Upstream, head, proxying, upstream
from scripted_server import DONE, ROLE, STOP, TOOLS, call_chunks, chunk, completion, text_chunks
from test_proxy_workers import soon

from gptme_reliability.surfaces.proxy.options import MOST_BODY, Options

pytestmark = pytest.mark.skipif(NGINX is None, reason=WHY_NOT)

NOTE: Final = text("docs/design-note.md")
NOBODY: Final = "127.0.0.1:9"
KEY: Final = "a-key-of-the-proxy"
BODY: Final[dict[str, Any]] = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "look around"}],
    "tools": TOOLS,
    "temperature": 0.7,
}
STREAM: Final = {**BODY, "stream": True}
WORDS: Final = {key: value for key, value in STREAM.items() if key != "tools"}


def answer(state: Upstream, write: Any) -> None:
    """Say which server this is."""
    write(head() + completion(state.url).body)


def held(state: Upstream, write: Any) -> None:
    """The same, for chats once it is released."""
    if state.body():
        state.release.wait(20)
    answer(state, write)


def text_held(state: Upstream, write: Any) -> None:
    """A stream of text whose end is held back."""
    write(head(kind="text/event-stream") + ROLE + b"".join(text_chunks("Well, well.")))
    state.release.wait(20)
    write(STOP + DONE)


def call_held(state: Upstream, write: Any) -> None:
    """A stream of a call whose end is held back."""
    first, *rest = call_chunks(0, "look", '{"place": "hall"}', "a")
    write(head(kind="text/event-stream") + ROLE + first)
    state.release.wait(20)
    write(b"".join(rest) + chunk({}, "tool_calls") + DONE)


def text_broken(state: Upstream, write: Any) -> None:
    """A stream in pieces whose last pieces never come."""
    sent = ROLE + b"".join(text_chunks("Well, well."))
    kind = b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    write(b"HTTP/1.1 200 OK\r\n" + kind + b"%x\r\n%b\r\n" % (len(sent), sent))
    state.release.wait(20)


def closes(_state: Upstream, _write: Any) -> None:
    """Read the request, and say nothing."""


def silent(state: Upstream, _write: Any) -> None:
    state.left.wait(20)


def status(number: int) -> Reply:
    def reply(_state: Upstream, write: Any) -> None:
        write(head(f"{number} Well") + b"{}")

    return reply


def client() -> httpx.Client:
    """One that keeps no connection and reads no certificates."""
    return httpx.Client(verify=False, timeout=20, limits=httpx.Limits(max_keepalive_connections=0))


@dataclass
class World:
    """nginx before two replicas of one group, each before a server of its own; ``endings`` end
    the replicas."""

    servers: list[Upstream] = field(default_factory=list)
    replicas: list[str] = field(default_factory=list)
    endings: list[Callable[[], None]] = field(default_factory=list)
    front: Running = field(init=False)

    @property
    def url(self) -> str:
        return self.front.url

    def post(self, **more: Any) -> httpx.Response:
        with client() as made:
            return made.post(f"{self.url}/chat/completions", **{"json": BODY, **more})

    def served(self, **more: Any) -> str:
        """The server that answered."""
        return said(self.post(**more))

    def counts(self) -> list[int]:
        """How many chats each server was sent."""
        return [sum(map(bool, server.bodies)) for server in self.servers]

    def groups(self) -> dict[str, list[str]]:
        """The addresses behind nginx."""
        behind = self.replicas or [server.url for server in self.servers]
        return {"general": [address(url) for url in behind], "coder": [NOBODY] * 2}

    def release(self) -> None:
        for server in self.servers:
            server.release.set()


def said(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


@contextmanager
def world(*replies: Reply, **options: Any) -> Iterator[World]:
    """Two replicas with servers that reply so."""
    made = World()
    with ExitStack() as stack:
        for reply in replies:
            server = stack.enter_context(upstream(reply))
            ending = stack.enter_context(ExitStack())
            url = ending.enter_context(proxying(server.url, **options))
            made.servers.append(server)
            made.replicas.append(url.removesuffix("/v1"))
            made.endings.append(ending.close)
        made.front = stack.enter_context(nginx(made.groups()))
        stack.callback(made.release)
        yield made


@contextmanager
def bare(*replies: Reply, **config: str) -> Iterator[World]:
    """The servers themselves in place of replicas, for what no replica does on demand."""
    made = World()
    with ExitStack() as stack:
        made.servers += [stack.enter_context(upstream(reply)) for reply in replies]
        made.front = stack.enter_context(nginx(made.groups(), **config))
        stack.callback(made.release)
        yield made


def address(url: str) -> str:
    return url.removeprefix("http://").removesuffix("/v1")


@contextmanager
def streaming(found: World, body: dict[str, Any] = STREAM) -> Iterator[Iterator[str]]:
    """The lines of a stream that has begun."""
    url = f"{found.url}/chat/completions"
    with client() as made, made.stream("POST", url, json=body) as response:
        yield response.iter_lines()


def get(url: str) -> httpx.Response:
    with client() as made:
        return made.get(url)


# --- what passes --------------------------------------------------------------------------


def test_text_comes_as_it_is_written() -> None:
    with world(text_held, text_held) as found, streaming(found) as lines:
        assert any("Wel" in line for line in lines)
        found.release()
        assert "data: [DONE]" in list(lines)


def test_comments_come_while_a_call_is_held() -> None:
    with world(call_held, call_held, keep_alive=0.1) as found, streaming(found) as lines:
        assert any(line.startswith(":") for line in lines)
        found.release()
        rest = list(lines)
    assert any('"name": "look"' in line for line in rest) and "data: [DONE]" in rest


@pytest.mark.parametrize("body", [STREAM, WORDS], ids=["checked", "passed"])
def test_a_stream_that_breaks_off_breaks_off(body: dict[str, Any]) -> None:
    """What a client takes for the end must be the end."""
    with (
        world(text_broken, text_broken) as found,
        streaming(found, body) as lines,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        assert any("Wel" in line for line in lines)
        found.release()
        list(lines)


def test_an_answer_waits_for_who_reads_it() -> None:
    """nginx keeps none of it, in memory or on its disk."""
    sent, piece, all_of_it = [0], 1_000_000, 60_000_000

    def endless(_state: Upstream, write: Any) -> None:
        write(head(kind="text/event-stream"))
        while sent[0] < all_of_it:
            write(b": %b\n\n" % (b"x" * piece))
            sent[0] += piece

    def stalled() -> bool:
        before = sent[0]
        time.sleep(0.3)
        return 0 < before == sent[0]

    with world(endless, endless) as found, streaming(found, WORDS):
        soon(stalled)
        assert sent[0] < all_of_it


@pytest.mark.parametrize("reply", [text_held, held])
def test_who_leaves_ends_the_work(reply: Reply) -> None:
    """Before the first byte and behind it."""
    with world(reply, reply) as found:
        body = STREAM if reply is text_held else BODY
        with pytest.raises(httpx.ReadTimeout):
            found.post(json=body, timeout=1.0)
        (busy,) = (server for server in found.servers if server.bodies)
        assert busy.left.wait(10)


def test_large_requests_pass() -> None:
    """Those that the proxy takes, and what is larger still gets an answer in the API's words."""
    (shown,) = SHOWN
    most = re.search(r"client_max_body_size (\d+)m;", shown)
    assert most and int(most[1]) * 1024 * 1024 > MOST_BODY
    text = "x" * 5_000_000
    with world(answer, answer, most_body=6_000_000) as found:
        large = {**BODY, "messages": [{"role": "user", "content": text}]}
        assert found.post(json=large).status_code == 200
        large["messages"].append(large["messages"][0])
        refused = found.post(json=large)
    assert refused.status_code == 413
    assert refused.json()["error"]["code"] == "request_too_large"


def test_the_proxy_ends_a_request_before_nginx_does() -> None:
    (shown,) = SHOWN
    longest = re.search(r"proxy_read_timeout (\d+)s;", shown)
    assert longest and int(longest[1]) > Options(upstream="http://127.0.0.1:9/v1").longest


def test_names_pages_and_keys_are_the_replicas_to_judge() -> None:
    key = {"authorization": f"Bearer {KEY}"}
    rows = [
        ({"host": "llm.example", **key}, 200),
        ({"host": "llm.example", "x-api-key": KEY}, 200),
        ({"host": "llm.example"}, 401),
        ({"host": "llm.example", "authorization": "Bearer another-key"}, 401),
        ({"host": "evil.example", **key}, 403),
        ({"host": "llm.example", "origin": "https://evil.example", **key}, 403),
    ]
    with world(answer, answer, keys=(KEY,), allow_hosts=("llm.example",)) as found:
        for headers, expected in rows:
            assert found.post(headers=headers).status_code == expected, headers
        assert get(f"{found.front.root}/healthz").json()["status"] == "ok"
        assert get(f"{found.front.root}/metrics").status_code == 401
    assert not any(KEY.encode() in head for server in found.servers for head in server.heads)


# --- never twice, never lost --------------------------------------------------------------

FAULTS: Final[dict[str, Reply]] = {
    "closes": closes,
    "silent": silent,
    **{str(number): status(number) for number in (429, 500, 502, 503, 504)},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_was_sent_is_never_sent_again(fault: Reply) -> None:
    """Whatever comes instead of an answer."""
    with bare(fault, fault, proxy_read_timeout="1s") as found:
        assert found.post().status_code >= 429
        time.sleep(0.2)
        assert sum(found.counts()) == 1


def test_a_status_leaves_nobody_out_by_posts_alone() -> None:
    """Why something should ask for the models every few seconds."""
    with bare(status(502), answer) as found:
        for _ in range(6):
            found.post()
        assert min(found.counts()) >= 2


@pytest.mark.parametrize("fault", ["closes", "502", "503", "504"])
def test_what_only_reads_is_asked_elsewhere(fault: str) -> None:
    """And the replica is left out, by POSTs as well."""
    with bare(FAULTS[fault], answer) as found:
        for _ in range(4):
            assert get(f"{found.url}/models").status_code == 200
        assert found.served() == found.servers[1].url


def test_a_replica_that_is_not_there_costs_nothing() -> None:
    with world(answer, answer) as found:
        found.endings[0]()
        assert {found.served() for _ in range(6)} == {found.servers[1].url}


def one_more(found: World, pool: ThreadPoolExecutor) -> None:
    """A further request, which is answered or has reached a server."""
    before = sum(found.counts())
    asked = pool.submit(found.post)
    soon(lambda: asked.done() or sum(found.counts()) > before)


def test_a_replica_that_ends_is_left_out_once_a_get_met_it() -> None:
    """Until then new requests get the 503 that SDKs try again."""
    with world(held, held, grace=20.0) as found, ThreadPoolExecutor() as pool:
        first = pool.submit(found.post)
        soon(lambda: sum(found.counts()) == 1)
        busy = found.counts().index(1)
        other = found.servers[1 - busy]
        ended = pool.submit(found.endings[busy])
        soon(lambda: get(f"{found.replicas[busy]}/healthz").status_code == 503)
        while found.counts()[1 - busy] < 2:
            one_more(found, pool)
        refused = found.post()  # the one that ends has the fewest open requests
        assert refused.status_code == 503 and refused.headers["retry-after"] == "1"
        assert get(f"{found.url}/models").status_code == 200
        other.release.set()
        assert {found.served() for _ in range(4)} == {other.url}
        found.release()
        assert said(first.result()) == found.servers[busy].url
        ended.result()


def test_taking_a_replica_out_loses_nothing() -> None:
    """``down``, reload, wait until nothing is open, end it."""
    with world(held, held) as found, ThreadPoolExecutor() as pool:
        opened = [pool.submit(found.post) for _ in range(2)]
        soon(lambda: found.counts() == [1, 1])
        place = f"server {address(found.replicas[0])} "
        found.front.reload(changed(found.front.config, place, f"{place}down "))
        found.servers[1].release.set()
        before = found.counts()[0]
        assert {found.served() for _ in range(6)} == {found.servers[1].url}
        assert found.counts()[0] == before
        metrics = f"{found.replicas[0]}/metrics"
        assert "reliability_open_requests 1\n" in get(metrics).text
        found.servers[0].release.set()
        soon(lambda: "reliability_open_requests 0\n" in get(metrics).text)
        found.endings[0]()
        assert sorted(said(one.result()) for one in opened) == sorted(
            server.url for server in found.servers
        )
        assert found.served() == found.servers[1].url


# --- which replica ------------------------------------------------------------------------


def test_the_one_with_the_fewest_open_requests_is_taken() -> None:
    with world(held, answer) as found, ThreadPoolExecutor() as pool:
        asked = [pool.submit(found.post) for _ in range(2)]
        soon(lambda: found.counts() == [1, 1])
        soon(lambda: [one.done() for one in asked].count(True) == 1)
        assert {found.served() for _ in range(5)} == {found.servers[1].url}
        found.release()


def test_a_caller_can_be_kept_at_one_replica() -> None:
    """With the line that the note gives for it."""
    (line,) = re.findall(r"put `(hash [^`]+;)` in place of `least_conn;`", NOTE)
    with world(answer, answer) as found, nginx(found.groups(), balance=line) as found.front:
        callers: dict[str, dict[str, str]] = {}
        for number in range(60):
            headers = {"authorization": f"Bearer caller-{number}"}
            (at,) = {found.served(headers=headers) for _ in range(3)}
            callers[at] = headers
            if len(callers) == 2:
                break
        first, second = (server.url for server in found.servers)
        found.endings[0]()
        assert found.served(headers=callers[first]) == second


def test_a_model_elsewhere_has_a_name_of_its_own() -> None:
    with (
        upstream(answer) as general,
        upstream(answer) as coder,
        proxying(general.url, allow_hosts=("llm.example",)) as one,
        proxying(coder.url, allow_hosts=("coder.llm.example",)) as two,
        nginx({"general": [address(one)] * 2, "coder": [address(two)] * 2}) as front,
    ):
        for name, server in (("llm.example", general), ("coder.llm.example", coder)):
            with client() as made:
                posted = made.post(
                    f"{front.url}/chat/completions", json=BODY, headers={"host": name}
                )
            assert said(posted) == server.url
