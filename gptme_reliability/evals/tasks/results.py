"""The file of results: a line a task, whole lines whatever ends the run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeAlias

from gptme_reliability.errors import InputError
from gptme_reliability.evals.tasks.modes import ARMS, read_mode
from gptme_reliability.evals.tasks.play import OUTCOMES, Played
from gptme_reliability.rows import parse_row

_FIRST: Final = b'{"setup":'


@dataclass(frozen=True, slots=True)
class Setup:
    """What holds for all results of a run: which model, behind what, asked how."""

    model: str
    backend: str
    params: Mapping[str, Any]
    seed: int
    version: str


Key: TypeAlias = tuple[str, str, str, int]
"""Scenario, mode, arm and number of the repeat: what a result is a result of."""


@dataclass(frozen=True, slots=True)
class Result:
    """One task in one mode and arm; ``repeat`` counts from 0."""

    setup: Setup
    scenario: str
    category: str
    digest: str
    mode: str
    arm: str
    repeat: int
    played: Played

    @property
    def key(self) -> Key:
        """What it is a result of, within its setup."""
        return self.scenario, self.mode, self.arm, self.repeat

    @property
    def done(self) -> bool:
        """Whether everything was done and nothing else."""
        return self.played.outcome == "done"


def as_line(result: Result) -> bytes:
    """A result as a line of the file."""
    return json.dumps(asdict(result)).encode("ascii") + b"\n"


def read_results(path: Path) -> list[Result]:
    """The results in a file; half a line at its end, of a run that broke off, is left out.

    Raises:
        InputError: it cannot be read or holds something else.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    whole, found = data.rfind(b"\n") + 1, list[Result]()
    if not _FIRST.startswith(data[whole:][: len(_FIRST)]):
        raise InputError(f"{path}: its last line is no result of `eval run`")
    for number, line in enumerate(data[:whole].splitlines(), start=1):
        try:
            found.append(_result(parse_row(line, number)))
        except (InputError, KeyError, TypeError, AttributeError):
            raise InputError(f"{path}, line {number}: no result of `eval run`") from None
    return found


def _result(row: Mapping[str, Any]) -> Result:
    values = {field.name: row[field.name] for field in fields(Result)}
    played = {field.name: row["played"][field.name] for field in fields(Played)}
    played["wrong"] = tuple(played["wrong"])
    setup = Setup(**row["setup"])
    result = Result(**{**values, "setup": setup, "played": Played(**played)})
    read_mode(result.mode)
    if result.arm not in ARMS or result.played.outcome not in OUTCOMES:
        raise InputError("no arm or outcome")
    return result


@contextmanager
def results_file(
    path: Path | None, *, resume: bool = False, replace: bool = False
) -> Iterator[Callable[[Result], None]]:
    """A function that appends a result to the file; does nothing without one.

    Raises:
        InputError: the file exists and is neither to be resumed nor replaced, or cannot be
            written.
    """
    if path is None:
        yield lambda result: None
        return
    try:
        if resume and path.exists():
            _cut(path)
        mode = "ab" if resume else "wb" if replace else "xb"
        file = open(path, mode, buffering=0)  # noqa: SIM115
    except FileExistsError:
        raise InputError(f"{path} exists; go on with --resume, or delete it") from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None

    def write(result: Result) -> None:
        try:
            file.write(as_line(result))
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}") from None

    with file:
        yield write


def _cut(path: Path) -> None:
    """Cut off half a line at the end."""
    whole = path.read_bytes().rfind(b"\n") + 1
    with open(path, "r+b") as file:
        file.truncate(whole)
