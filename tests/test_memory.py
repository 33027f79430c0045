"""What the client keeps to be said later, and to whom."""

from __future__ import annotations

from gptme_reliability.surfaces.memory import PendingFeedback
from gptme_reliability.types import Call

CALL = Call("shell", {"command": "ls"}, id="call_0")


def test_what_is_to_be_said_has_an_owner() -> None:
    """Conversations that begin alike and hold the same call are told apart."""
    pending = PendingFeedback()
    pending.remember("one", "digest", [CALL], "the other call was broken")
    assert list(pending.texts("one").values()) == ["the other call was broken"]
    assert pending.texts("two") == {}


def test_another_answer_in_the_same_place_takes_it_back() -> None:
    """The user had the answer made again, and nothing was wrong with the new one."""
    pending = PendingFeedback()
    pending.remember("one", "digest", [CALL], "the other call was broken")
    pending.remember("one", "digest", [CALL], None)
    assert pending.texts("one") == {}
