"""Which log files there are: gptme's own directory, or what the user names.

Where gptme keeps its logs: ``get_logs_dir`` in ``gptme/dirs.py`` of gptme 0.35.1.  Compacted
views are left out, for they repeat their conversation in other words.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gptme_reliability.errors import InputError

LOG: Final = "conversation.jsonl"
_BRANCHES: Final = "branches"


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file of messages: its path, the name to show, and the conversation that it branched from.

    ``size`` is in bytes, ``changed`` when it was written last, in seconds since 1970.
    """

    path: Path
    name: str
    size: int
    changed: float
    trunk: Path | None = None

    @property
    def config(self) -> Path:
        """Where gptme keeps the settings of this conversation."""
        home = self.trunk.parent if self.trunk else self.path.parent
        return home / "config.toml"


def default_dir() -> Path:
    """Where gptme keeps its logs; the directory need not exist."""
    if home := os.environ.get("GPTME_LOGS_HOME", "").strip():
        return Path(home)
    if data := os.environ.get("XDG_DATA_HOME", "").strip():
        return Path(data) / "gptme" / "logs"
    unix = Path.home() / ".local" / "share" / "gptme"
    if unix.exists():
        return unix / "logs"
    from platformdirs import user_data_dir

    return Path(user_data_dir("gptme")) / "logs"


def find_logs(places: Sequence[str], since: float = 0.0) -> list[LogFile]:
    """The logs in these directories and files, each once, in the order of their names.

    ``since`` leaves out those that were last written before, in seconds since 1970.

    Raises:
        InputError: a place does not exist, cannot be read, or holds no log.
    """
    found: dict[Path, LogFile] = {}
    for place in places or (str(default_dir()),):
        logs = list(_logs_in(Path(place).expanduser()))
        if not logs:
            raise InputError(f"{place}: no {LOG} here or one directory below; name another")
        for log in logs:
            if log.changed >= since:
                found.setdefault(log.path.resolve(), log)
    return list(found.values())


def _logs_in(place: Path) -> Iterator[LogFile]:
    try:
        if place.is_file():
            yield _log(place, _name(place), _trunk(place))
            return
        if not place.is_dir():
            raise InputError(f"{place}: there is no such file or directory")
        homes = [place, *sorted(child for child in place.iterdir() if child.is_dir())]
        for home in homes:
            yield from _conversation(home)
    except OSError as error:
        raise InputError(f"{place}: cannot be read ({error.strerror or error})") from None


def _conversation(home: Path) -> Iterator[LogFile]:
    trunk = home / LOG
    try:
        if not trunk.is_file():
            return
        yield _log(trunk, home.name)
        for branch in sorted((home / _BRANCHES).glob("*.jsonl")):
            if branch.is_file():
                yield _log(branch, f"{home.name}/{branch.stem}", trunk)
    except OSError:
        # One that is closed to us is found, and cannot be read; the others can.
        yield LogFile(trunk, home.name, 0, float("inf"))


def _log(path: Path, name: str, trunk: Path | None = None) -> LogFile:
    found = path.stat()
    return LogFile(path, name, found.st_size, found.st_mtime, trunk)


def _trunk(path: Path) -> Path | None:
    """The conversation that a branch named on the command line was made from."""
    trunk = path.parent.parent / LOG
    return trunk if path.parent.name == _BRANCHES and trunk.is_file() else None


def _name(path: Path) -> str:
    return path.parent.name if path.name == LOG and path.parent.name else path.stem
