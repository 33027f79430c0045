"""What asking again may cost: counts, tokens, seconds, waiting, and what asks the same."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptme_reliability import Policy
from gptme_reliability.adapters.openai_response import total_tokens
from gptme_reliability.budget import About, Budget, Question, Spent, question_end
from gptme_reliability.surfaces.budgets import Budgets

NUDGE = {"role": "user", "content": "<system>No tool call detected.</system>"}
ASKED = {"role": "user", "content": "list the files"}
SAID = {"role": "assistant", "content": "(not run: shell - cut off)"}
CALLED: dict[str, Any] = {"role": "assistant", "tool_calls": [{"id": "a"}]}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "x"}


def asked(budget: Budget, about: About = "format", failure: str = "f") -> Question:
    question = budget.ask(about, failure)
    assert isinstance(question, Question), question
    return question


def refused(budget: Budget, about: About = "format", failure: str = "f") -> str:
    why = budget.ask(about, failure)
    assert isinstance(why, str)
    return why


def test_attempts() -> None:
    """As many as the policy allows, for failures that differ."""
    budget = Budget(Policy(retries=3))
    for failure in "abc":
        asked(budget, failure=failure)
    spent = budget.spent
    assert refused(budget, failure="d") == ""
    assert spent == budget.spent == Spent(format_faults=3, failures=("a", "b", "c"))


@pytest.mark.parametrize("about", ["format", "doubt", "loop"])
def test_no_attempts(about: About) -> None:
    assert refused(Budget(Policy(retries=0)), about) == ""


def test_what_is_only_doubted_is_asked_once() -> None:
    """Whatever was asked before it."""
    budget = Budget(Policy(retries=5))
    asked(budget, "doubt", "a")
    assert refused(budget, "doubt", "b") == ""
    budget = Budget(Policy(retries=5))
    asked(budget, "format", "a")
    assert refused(budget, "doubt", "b") == ""


def test_errors_of_tools_are_counted_apart() -> None:
    """A loop is asked about once, and takes nothing from the attempts for faults."""
    budget = Budget(Policy(retries=2))
    asked(budget, "loop", "a")
    assert refused(budget, "loop", "b") == ""
    asked(budget, "format", "c")
    asked(budget, "format", "d")
    assert refused(budget, "format", "e") == ""
    assert (budget.spent.format_faults, budget.spent.tool_errors) == (2, 1)


def test_the_same_failure_is_asked_about_in_two_ways_and_no_more() -> None:
    """Unless there is a new way of asking; it need not be the last failure."""
    budget = Budget(Policy(retries=10))
    assert not budget.failed_before("a")
    asked(budget, failure="a")
    assert budget.failed_before("a")
    asked(budget, failure="a")
    assert refused(budget, failure="a") == "it failed in the same way 3 times"
    assert isinstance(budget.ask("format", "a", fresh=True), Question)
    assert not budget.failed_before("b")
    asked(budget, failure="b")


def test_the_count_goes_on() -> None:
    """What was spent on a question is spent for whoever asks it again."""
    budget = Budget(Policy(retries=2))
    asked(budget, failure="a")
    again = Budget(Policy(retries=2), budget.spent)
    assert again.failed_before("a")
    asked(again, failure="a")
    third = Budget(Policy(retries=2), again.spent)
    assert refused(third, failure="b") == "it was asked for again twice before"


def test_tokens() -> None:
    """The first answer is the host's; the next one costs what the last one did, at least."""
    budget = Budget(Policy(retries=9, max_added_tokens=100))
    budget.charge(tokens=40)
    asked(budget, failure="a")
    budget.charge(tokens=55)
    assert budget.spent.tokens == 55
    assert refused(budget, failure="b") == "asking again would cost more than 100 tokens"
    cheap = Budget(Policy(max_added_tokens=100), budget.spent)
    cheap.charge(tokens=45)
    asked(cheap, failure="b")


@pytest.mark.parametrize("limit", ["max_added_tokens", "max_added_seconds"])
def test_a_limit_of_none_at_all(limit: str) -> None:
    """Nothing is asked, whether or not the server says what it used."""
    policy = Policy(**{limit: 0})  # type: ignore[arg-type]
    assert limit.rpartition("_")[2] in refused(Budget(policy))


def test_seconds() -> None:
    budget = Budget(Policy(retries=9, max_added_seconds=10))
    budget.charge(seconds=30)
    asked(budget, failure="a")
    budget.charge(seconds=9.9)
    assert budget.spent.seconds == 9.9
    assert refused(budget, failure="b") == "asking again would take more than 10 seconds"


def test_waiting() -> None:
    """Nothing at first, then doubling up to ten times, each in the upper half; the same each
    time, another for each conversation."""

    def waits(seed: str, backoff: float = 0.2) -> list[float]:
        budget = Budget(Policy(retries=8, backoff=backoff), seed=seed)
        return [asked(budget, failure=str(n)).wait_s for n in range(8)]

    found = waits("one")
    assert found == waits("one") != waits("other")
    assert found[0] == 0
    for wait, longest in zip(found[1:], (0.2, 0.4, 0.8, 1.6, 2, 2, 2), strict=True):
        assert longest / 2 <= wait < longest
    assert waits("one", backoff=0) == [0] * 8


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["format", "doubt", "loop"]),
            st.sampled_from("abc"),
            st.integers(0, 50),
        ),
        max_size=40,
    ),
    st.integers(0, 5),
    st.none() | st.integers(0, 100),
)
def test_no_budget_is_exceeded(
    steps: list[tuple[About, str, int]], retries: int, tokens: int | None
) -> None:
    """In any order of failures, and however often the question is asked anew."""
    policy = Policy(retries=retries, max_added_tokens=tokens)
    spent = Spent()
    for about, failure, used in steps:
        budget = Budget(policy, spent)
        budget.charge(used)
        if isinstance(budget.ask(about, failure), Question):
            budget.charge(used)
        spent = budget.spent
    assert spent.format_faults <= retries
    assert spent.tool_errors <= min(retries, 1)
    assert all(spent.failures.count(failure) <= 2 for failure in "abc")
    assert tokens is None or spent.tokens <= tokens


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        ([], 1),
        ([SAID, NUDGE], 1),
        ([SAID, NUDGE, SAID, NUDGE], 1),
        ([SAID, NUDGE, NUDGE], 1),
        ([SAID, ASKED], 3),
        ([SAID, NUDGE, SAID, ASKED], 5),
        ([CALLED, RESULT], 3),
        ([CALLED, RESULT, NUDGE], 4),
        ([CALLED, NUDGE], 3),
        ([NUDGE], 2),
        ([SAID], 2),
    ],
)
def test_what_asks_the_same(behind: list[Any], expected: int) -> None:
    """A nudge after an answer without calls; anything else is a new question."""
    assert question_end([ASKED, *behind]) == expected
    assert question_end([NUDGE]) == 1 and question_end([]) == 0


def test_questions_are_forgotten() -> None:
    """The longest unused one first, and each as soon as it was answered."""
    budgets = Budgets(most=2)
    for question in ("a", "b", "a", "c"):
        budget = budgets.open(question, Policy(retries=5))
        asked(budget, failure=question)
        budgets.keep(question, budget)
    counts = [budgets.open(question, Policy()).spent.asked for question in "abc"]
    assert counts == [2, 0, 1]
    budgets.settle("a")
    budgets.settle("never asked")
    assert budgets.open("a", Policy()).spent == Spent()


def test_what_cost_nothing_takes_no_room() -> None:
    budgets = Budgets(most=1)
    asked_one = budgets.open("a", Policy())
    asked(asked_one)
    budgets.keep("a", asked_one)
    budgets.keep("b", budgets.open("b", Policy()))
    assert budgets.open("a", Policy()).spent.asked == 1


def test_questions_are_safe_to_share() -> None:
    budgets = Budgets(most=8)

    def work(name: str) -> None:
        for number in range(300):
            question = f"{name}{number % 12}"
            budget = budgets.open(question, Policy(retries=10))
            budget.ask("format", str(number))
            budgets.keep(question, budget)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(budgets.open(f"{n}{k}", Policy()).spent.asked > 0 for n in "abcd" for k in range(12))


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, 0),
        ({}, 0),
        ({"total_tokens": 15}, 15),
        ({"prompt_tokens": 10, "completion_tokens": 5}, 15),
        ({"prompt_tokens": 10, "completion_tokens": None}, 10),
        ({"total_tokens": "many", "prompt_tokens": 3}, 3),
        ({"total_tokens": float("nan")}, 0),
        ({"total_tokens": True}, 0),
        ({"total_tokens": -3}, 0),
    ],
)
def test_tokens_of_an_answer(usage: Any, expected: int) -> None:
    assert total_tokens(usage) == expected
