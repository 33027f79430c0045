"""The files of a measurement: the corpus it reads, and the results that it can go on from."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

from gptme_reliability.errors import InputError
from gptme_reliability.evals.recover_scoring import Result
from gptme_reliability.evals.recover_streaming import Shown
from gptme_reliability.rows import parse_row

_PROBE: Final = 20  # so many lines are looked at before a file is called no JSON lines

Line: TypeAlias = tuple[int, bytes]
"""A line and its number, from 1."""


class Corpus:
    """The lines of a ``.jsonl`` or ``.jsonl.gz`` file that are not empty."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        self.size = path.stat().st_size

    @property
    def position(self) -> int:
        """How many bytes of the file were read; compressed ones where it is compressed."""
        return self._file.tell()

    def __iter__(self) -> Iterator[Line]:
        zipped = self._path.suffix == ".gz"
        source: Any = gzip.GzipFile(fileobj=self._file) if zipped else self._file
        try:
            for number, line in enumerate(source, start=1):
                if line.strip():
                    yield number, line
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"cannot read {self._path}: {error}") from None


@contextmanager
def open_corpus(path: Path) -> Iterator[Corpus]:
    """Open a corpus.

    Raises:
        InputError: it cannot be read, holds no rows, or none of its first lines is a row.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    with file:
        corpus = Corpus(path, file)
        _require_rows(path, corpus)
        file.seek(0)
        yield corpus


def _require_rows(path: Path, corpus: Corpus) -> None:
    fault = "it is empty"
    for number, line in islice(corpus, _PROBE):
        try:
            parse_row(line, number)
        except InputError as error:
            fault = str(error) if number == 1 else fault
        else:
            return
    raise InputError(f"{path} holds no rows: {fault}")


def read_results(path: Path, corpus: str, policy: str, *, streamed: bool) -> list[Result]:
    """The results of an earlier run that broke off; none where there is no such file yet.

    Half a line at its end is cut off the file.

    Raises:
        InputError: the file holds something else, or results of another measurement.
    """
    if not path.exists():
        return []
    try:
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        lines = enumerate(data[:whole].splitlines(), start=1)
        results = [
            _result(parse_row(line, number), number, corpus, policy, streamed)
            for number, line in lines
        ]
        if half := data[whole:]:
            opening = _opening(corpus)
            if half[: len(opening)] != opening[: len(half)]:
                raise InputError(f"line {len(results) + 1} is no result of a measurement")
            with open(path, "r+b") as file:
                file.truncate(whole)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return results


def _opening(corpus: str) -> bytes:
    """What every line of a results file begins with."""
    return json.dumps({"corpus": corpus})[:-1].encode("ascii")


def _result(row: dict[str, Any], number: int, corpus: str, policy: str, streamed: bool) -> Result:
    try:
        values = {field.name: row[field.name] for field in fields(Result)}
        shown = values.pop("shown")
        result = Result(**values, shown=Shown(**shown) if shown else None)
    except (KeyError, TypeError):
        raise InputError(f"line {number} is no result of a measurement") from None
    if row.get("corpus") != corpus or result.policy != policy:
        raise InputError(f"line {number} is no result of {corpus} under the {policy} policy")
    if streamed and result.shown is None and result.outcome != "error":
        raise InputError(f"line {number} is a result of a run without --streamed")
    return result


@contextmanager
def results_writer(
    path: Path | None, corpus: str, *, resume: bool
) -> Iterator[Callable[[Result], None]]:
    """A function that appends a result to the file; does nothing without one.

    Each line is written at once and in one piece, so that whatever ends the run leaves whole
    lines.

    Raises:
        InputError: the file exists and is not to be resumed, or cannot be written.
    """
    if path is None:
        yield lambda result: None
        return
    try:
        file = open(path, "ab" if resume else "xb", buffering=0)  # noqa: SIM115
    except FileExistsError:
        raise InputError(f"{path} exists; go on with --resume, or delete it") from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None

    def write(result: Result) -> None:
        line = json.dumps({"corpus": corpus, **asdict(result)})
        try:
            file.write(line.encode("ascii") + b"\n")
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}") from None

    with file:
        yield write
