"""Scripted weak models: how each goes wrong, and what brings it right.

A row says what a model does, by what is in the request alone.  ``Model`` plays one of them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from weak_reactions import (
    APOLOGY,
    CRASHED,
    CUT,
    DONE,
    EMPTY,
    MISSING,
    NAMELESS,
    ONLY_REASONING,
    OVERLOADED,
    PLAN,
    PLAN_ZH,
    READ,
    RUN_AWAY,
    RUN_AWAY_CALL,
    SPURIOUS,
    SYNTAX,
    TYPES,
    UNKNOWN,
    UNREADABLE,
    React,
    Server,
    beside_words,
    broken_off,
    by_turns,
    depending,
    empty_words,
    file_in_turn,
    forced,
    in_text,
    never,
    prompted,
    resampled,
    saying,
    structured,
    the_other_file,
    times,
    told,
    told_and_rewound,
    until,
    with_calls,
    without_tools,
)
from weak_requests import Asked, Body, native, right, words

from gptme_reliability.evals.scenarios import Answer
from gptme_reliability.types import Call

AT_ONCE: Final = ("at_once",)
"""In place of rungs: it comes right without an added request."""
RETRIES: Final = 6
"""Enough for one of each rung, and once more."""

COMMAND: Final = "echo $((1234*5678)) | tee -a marker"
WANTED: Final = Call("shell", {"command": COMMAND})
WRITE: Final = "Compute 1234 times 5678 with the shell and leave the product in the file marker."
WRITE_ZH: Final = "请用 shell 计算 1234 乘以 5678，并把结果写入文件 marker。"
ASK: Final = "What is a closure?"
ASK_ZH: Final = "什么是闭包？"
HELLO: Final = "hello"
CLOSURE: Final = "A closure is a function that remembers the variables around it."
CLOSURE_ZH: Final = "闭包是记住其外部变量的函数。"
HI: Final = "Hello! What can I do for you?"
CANNOT: Final = "That is nothing that my tools are for."
OWN_RESPOND: Final = Call("respond", {"to": "ann@example.com", "body": "Yes."})

FORCED: Final = {"force": True}
_USUAL: Final = Server()
_SCHEMAS: Final = Server(format="taken")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way of going wrong.

    ``helped_by`` are the rungs of which any one, with ``re_ask`` before it, brings it right;
    ``AT_ONCE`` where no rung is needed, empty where none helps.  ``wants`` is the call that the
    user waits for; None where words are the answer, which ``says`` is in.  ``plain``: its
    first answer is a final plain answer.  ``harmless`` are names of tools that it may call
    besides.  ``policy`` holds what the user set.  ``fails``: its server does, so that the host
    tries again by itself.   ``everywhere``: it makes sense in gptme too.
    """

    name: str
    does: str
    react: React
    helped_by: tuple[str, ...] = ()
    wants: Call | None = WANTED
    user: str = WRITE
    says: str = DONE
    plain: bool = False
    harmless: tuple[str, ...] = ()
    server: Server = _USUAL
    policy: Mapping[str, Any] = field(default_factory=dict)
    model: str = "tiny"
    dialect: str = "hermes"
    fails: bool = False
    everywhere: bool = True

    def helped(self, rungs: Sequence[str]) -> bool:
        """Whether one of these rungs brings it right, as long as it gets its turn.

        With ``re_ask`` and ``structure`` alone three do not that are helped by being told twice:
        the schema comes in between, their server ignores it, and they answer in words.
        """
        return self.helped_by == AT_ONCE or bool(set(self.helped_by) & set(rungs))


def _prompted(dialect: str, model: str, does: str, server: Server = _USUAL) -> Behaviour:
    react = until(prompted, UNKNOWN if server.tools == "dropped" else SYNTAX)
    return Behaviour(
        f"prompted/{dialect}", does, react, ("prompt",), server=server, model=model, dialect=dialect
    )


def _words(name: str, does: str, react: React, user: str, says: str, **rest: Any) -> Behaviour:
    given = {"helped_by": AT_ONCE, "plain": True, **rest}
    return Behaviour(name, does, react, wants=None, user=user, says=says, **given)


CALLS: Final = (
    Behaviour("fault/once", "leaves out what is required, once", until(times(1), MISSING),
              ("re_ask",)),
    Behaviour("fault/twice", "makes the same fault twice", until(times(2), MISSING), ("re_ask",)),
    Behaviour("fault/always", "makes the same fault, whatever it is told", until(never, MISSING)),
    Behaviour("fault/another each time", "makes two faults, each another one",
              by_turns(times(2), MISSING, SYNTAX), ("re_ask",)),
    Behaviour("fault/another always", "makes other faults for ever",
              by_turns(never, MISSING, UNKNOWN, TYPES, SYNTAX)),
    Behaviour("fault/types", "gives an object for a text until it is told", until(told, TYPES),
              ("re_ask",)),
    Behaviour("fault/name", "calls a tool that is like none until it is told",
              until(told, UNKNOWN), ("re_ask",)),
    Behaviour("fault/no name", "leaves out the name until it is told", until(told, NAMELESS),
              ("re_ask",)),
    Behaviour("fault/name always", "calls a tool that is like none, always",
              until(never, UNKNOWN)),
    Behaviour("fault/rewound", "goes on as it began where it sees how it began",
              until(told_and_rewound, MISSING), ("re_ask",)),
    Behaviour("fault/dice", "makes the same fault with the same dice", until(resampled, MISSING),
              ("resample",)),
    Behaviour("fault/then sorry", "is told of its fault, and says that it is sorry",
              depending((told, APOLOGY), otherwise=MISSING), says="sorry"),
    Behaviour("forced/only", "calls rightly only where it must", until(forced, MISSING),
              ("force",)),
    Behaviour("forced/ignored", "need not call where it must: its server takes no notice",
              until(without_tools, SYNTAX), ("structure", "prompt"),
              server=Server(choice="ignored", format="taken")),
    Behaviour("forced/chatty", "writes text before the call that it must make",
              depending((forced, lambda a: {**right(a), "text": "Hello!\n</tool_call>\n"}),
                        (structured, right), otherwise=MISSING),
              ("force", "structure"), server=_SCHEMAS),
    Behaviour("forced/used up", "talks until the end where it must call",
              depending((forced, RUN_AWAY), otherwise=until(structured, MISSING)),
              ("structure",), server=_SCHEMAS),
    Behaviour("forced/refused", "its server refuses to force a call",
              until(without_tools, MISSING), ("structure", "prompt"),
              server=Server(choice="refused", format="taken")),
    Behaviour("forced/words beside", "says something through the way for words beside its call",
              depending((forced, beside_words("I compute it.")), otherwise=MISSING), ("force",)),
    Behaviour("forced/empty words", "says nothing through the way for words",
              depending((forced, empty_words), otherwise=until(structured, MISSING)),
              ("structure",), server=_SCHEMAS),
    Behaviour("structured/only", "calls rightly only where a schema holds it",
              until(structured, SYNTAX), ("structure",), server=_SCHEMAS),
    Behaviour("structured/refused", "its server refuses a schema for the answer",
              until(without_tools, SYNTAX), ("prompt",), server=Server(format="refused")),
    Behaviour("structured/broken", "its server breaks over a schema for the answer",
              until(without_tools, SYNTAX), ("prompt",), server=Server(format="broken")),
    Behaviour("structured/as reasoning", "its server puts the JSON where reasoning belongs",
              until(without_tools, SYNTAX), ("prompt",), server=Server(format="as reasoning")),
    Behaviour("structured/ignored", "its server takes no notice of a schema",
              until(prompted, SYNTAX), ("prompt",)),
    _prompted("hermes", "qwen2.5-7b-instruct", "its server refuses tools, as in Ollama",
              Server(tools="refused", choice="refused")),
    _prompted("qwen3_coder", "qwen3-coder-30b-a3b", "its template drops the tools",
              Server(tools="dropped")),
    _prompted("llama3_json", "llama-3.1-8b-instruct", "breaks its JSON unless it is prompted"),
    _prompted("mistral", "mistral-7b-instruct-v0.3", "breaks its JSON unless it is prompted"),
    _prompted("pythonic", "llama-4-scout-17b-16e", "breaks its JSON unless it is prompted"),
    Behaviour("plan/told", "says what it will do, and does it when told", until(told, PLAN),
              ("re_ask",)),
    Behaviour("plan/Chinese", "says what it will do in Chinese, and does it when told",
              until(told, PLAN_ZH), ("re_ask",), user=WRITE_ZH),
    Behaviour("plan/forced", "says what it will do, and does it only where it must",
              until(forced, PLAN), ("force",)),
    Behaviour("plan/always", "says what it will do, for ever", until(never, PLAN),
              says="product"),
    Behaviour("loop/told", "reads the same again and again until it is told",
              until(told, native(*READ)), ("re_ask",), harmless=("read",)),
    Behaviour("loop/always", "reads the same again and again",
              lambda a: native(*READ, f"call_{a.number}"), harmless=("read",)),
    Behaviour("loop/pair", "reads two files by turns, for ever", file_in_turn,
              harmless=("read",)),
    Behaviour("loop/pair, dodging", "reads the file that it did not try to read last, for ever",
              the_other_file, harmless=("read",)),
    Behaviour("cut/once", "is cut off in its call, once", until(times(1), CUT), ("re_ask",)),
    Behaviour("cut/always", "is cut off in its call, always", until(never, CUT)),
    Behaviour("cut/run-away call", "writes an argument without end, once",
              until(times(1), RUN_AWAY_CALL), ("re_ask",)),
    Behaviour("cut/run-away words", "writes words without end", until(never, RUN_AWAY),
              says="and so on", plain=True),
    Behaviour("ids/none", "gives its call no id", with_calls(ids=(None,)), AT_ONCE),
    Behaviour("ids/twice", "gives two calls the same id",
              with_calls(READ, ids=("call_7", "call_7")), AT_ONCE, harmless=("read",)),
    Behaviour("ids/earlier", "gives its call the id of an earlier one",
              depending((lambda a: a.number > 0, with_calls(ids=("call_0",))),
                        otherwise=native(*READ)), AT_ONCE, harmless=("read",)),
    Behaviour("empty/once", "says nothing, once", until(times(1), EMPTY), ("re_ask",)),
    Behaviour("empty/always", "says nothing, always", until(never, EMPTY), fails=True),
    Behaviour("empty/only reasoning", "thinks and says nothing until it is told",
              until(told, ONLY_REASONING), ("re_ask",)),
    Behaviour("server/unreadable once", "its server cannot read its call, once",
              until(times(1), UNREADABLE), ("re_ask",)),
    Behaviour("server/unreadable always", "its server can never read its call",
              until(never, UNREADABLE), fails=True),
    Behaviour("server/unreadable natively", "its server can never read a native call",
              until(without_tools, UNREADABLE), ("structure", "prompt"), server=_SCHEMAS),
    Behaviour("server/crashed", "its server is out of memory", until(never, CRASHED), fails=True),
    Behaviour("server/overloaded once", "its server is overloaded, once",
              until(times(1), OVERLOADED), AT_ONCE, fails=True),
    Behaviour("server/broken off", "the connection breaks in its call, once",
              until(times(1), broken_off), AT_ONCE, fails=True),
    Behaviour("text/markers", "writes its call as chat, in markers", in_text, AT_ONCE),
    Behaviour("several/one broken", "makes a good call and a broken one, and mends that later",
              depending((lambda a: a.number > 0, right),
                        otherwise={"calls": [*native(*READ)["calls"],
                                             *native("shell", {}, "call_1")["calls"]]}),
              AT_ONCE, harmless=("read",)),
    Behaviour("respond/host's own", "calls a tool of the host that is named respond",
              until(never, native(OWN_RESPOND.name, OWN_RESPOND.arguments)), AT_ONCE,
              wants=OWN_RESPOND, user="Tell Ann yes.", everywhere=False),
    Behaviour("respond/host's own, forced", "calls it rightly only where it must",
              until(forced, native("respond", {"to": "ann@example.com"})), ("force",),
              wants=OWN_RESPOND, user="Tell Ann yes.", everywhere=False),
)  # fmt: skip

WORDS: Final = (
    _words("words/answer", "answers in words", saying(CLOSURE), ASK, CLOSURE),
    _words("words/Chinese", "answers in Chinese", saying(CLOSURE_ZH), ASK_ZH, CLOSURE_ZH),
    _words("words/hello", "greets back", saying(HI), HELLO, HI),
    _words("words/irrelevant", "says that its tools are not for that", saying(CANNOT),
           "Book me a table for two.", CANNOT),
    _words("words/tempted", "would make up a call if it had to",
           depending((forced, SPURIOUS), otherwise=saying(HI)), HELLO, HI),
    _words("words/hello, forced", "greets back through the way for words", saying(HI), HELLO, HI,
           policy=FORCED),
    _words("words/hello, force ignored", "greets back in text where it must call",
           lambda _: {"text": HI}, HELLO, HI, policy=FORCED, server=Server(choice="ignored")),
    _words("words/hello, force refused", "its server refuses to force a call", saying(HI), HELLO,
           HI, policy=FORCED, server=Server(choice="refused"), plain=False),
    _words("words/irrelevant, forced", "makes up a call unless there is a way for words",
           lambda a: SPURIOUS if a.forced and not a.synthetic else words(a, CANNOT),
           "Book me a table for two.", CANNOT, policy=FORCED),
    _words("words/empty first", "says nothing, then makes up a call unless it may use words",
           lambda a: EMPTY if a.number == 0 else
           SPURIOUS if a.forced and not a.synthetic else words(a, HI),
           HELLO, HI, helped_by=("re_ask",), plain=False),
    _words("words/respond by heart", "answers through a tool that is not on offer until told",
           lambda a: words(a, CLOSURE) if a.told or a.number > 2 else
           native("respond", {"text": CLOSURE}), ASK, CLOSURE, helped_by=("re_ask",), plain=False),
)  # fmt: skip

BEHAVIOURS: Final = (*CALLS, *WORDS)


class Model:
    """Plays a behaviour; ``requests`` are the bodies that came, those without a place in the
    script (a title, a summary) aside."""

    def __init__(self, behaviour: Behaviour, host_tools: Sequence[str]) -> None:
        self.requests: list[Body] = []
        self._behaviour = behaviour
        self._host_tools = frozenset(host_tools)
        self._lock = threading.Lock()

    def answer(self, body: Body) -> Answer:
        """The answer to a request."""
        with self._lock:
            asked = self._asked(body)
            if asked is None:
                return {"text": "ok"}
            self.requests.append(body)
        behaviour = self._behaviour
        finished = behaviour.wants is not None and asked.done
        return behaviour.server.answer(asked, saying(DONE) if finished else behaviour.react)

    def _asked(self, body: Body) -> Asked | None:
        behaviour = self._behaviour
        first = self.requests[0] if self.requests else body
        number = len(self.requests)
        asked = Asked(
            body, body, first, number, self._host_tools, behaviour.wants, behaviour.dialect
        )
        known = asked.offered or asked.schema is not None or asked.prompted
        return asked if known else None
