"""What is released, built: a source distribution and a wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
EPOCH: Final = "1750000000"


def build(tree: Path, into: Path) -> tuple[Path, Path]:
    """Build a source distribution and a wheel of a tree, as if at one moment: their files."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(into)],
        cwd=tree,
        env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (source,) = into.glob("*.tar.gz")
    (wheel,) = into.glob("*.whl")
    return source, wheel


def unpack(source: Path, into: Path) -> Path:
    """The tree in a source distribution."""
    with tarfile.open(source) as archive:
        if sys.version_info >= (3, 12):
            archive.extractall(into, filter="data")
        else:
            archive.extractall(into)
    return into / source.name.removesuffix(".tar.gz")
