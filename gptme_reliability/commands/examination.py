"""``doctor``: one line for each check, with what to do where it failed."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from gptme_reliability import __version__
from gptme_reliability import contract_words as words
from gptme_reliability.commands.explain import NOBODY, agree, said_of
from gptme_reliability.commands.printing import print_json, visible
from gptme_reliability.contract import Broken
from gptme_reliability.errors import InputError, ReliabilityError
from gptme_reliability.surfaces.endpoint import ask_server
from gptme_reliability.surfaces.findings import Finding
from gptme_reliability.surfaces.listing import Listing, is_near_address, list_models, shown
from gptme_reliability.surfaces.served import Served

_FAILED: Final = 1
_MOST_NAMES: Final = 5
_NO_KEY: Final = (401, 403)
_START: Final = "start the server, or say where it is: --endpoint URL, or OPENAI_BASE_URL for gptme"


def doctor(model: str | None, endpoint: str | None, *, as_json: bool) -> int:
    """Print every finding; 1 when a check failed."""
    findings: list[Finding] = []
    for finding in _findings(model, endpoint):
        findings.append(finding)
        if not as_json:
            _print(finding)
    failed = any(finding.state == "fail" for finding in findings)
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(finding) for finding in findings]})
    return _FAILED if failed else 0


def _print(finding: Finding) -> None:
    print(visible(f"{finding.state:<5} {finding.check}: {finding.says}"))
    if finding.fix:
        print(visible(f"      fix: {finding.fix}"))


def _findings(model: str | None, endpoint: str | None) -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("package", "ok", f"gptme-reliability {__version__}, Python {python}")
    if importlib.util.find_spec("gptme") is None:
        says = "is not installed for this Python; check, cards and the proxy work without it"
        yield Finding("gptme", "warn", says, "pip install gptme, for the plugin")
        yield from _elsewhere()
        usual = os.environ.get("OPENAI_BASE_URL")
    else:
        from gptme_reliability.surfaces.gptme.checkup import examine, read_config, session

        if fault := read_config(Path.cwd()):
            yield fault
            return
        used = session(model)
        yield from _elsewhere()
        yield from examine(used.model)
        model, usual = used.model, used.endpoint
    if not endpoint and usual:
        if is_near_address(usual):
            endpoint = usual
        else:
            says = f"{shown(usual)} is no address of your own network, so it was not asked"
            yield Finding("endpoint", "warn", says, "name it with --endpoint to have it asked")
    served = NOBODY
    if endpoint:
        finding, served = _server(endpoint, model)
        yield finding
    if model is None:
        says = "none is set, so nothing can be said of it"
        yield Finding("model", "warn", says, "--model NAME, as you give it to gptme")
    else:
        yield from _known(model, served)


def _elsewhere() -> Iterator[Finding]:
    """A gptme that runs in another environment than this command does not see this package."""
    program = shutil.which("gptme")
    if program is None:
        return
    try:
        with Path(program).open("rb") as script:
            first = script.readline(400)
    except OSError:
        return
    python = Path(first.removeprefix(b"#!").strip().decode(errors="replace"))
    runs_python = first.startswith(b"#!") and python.name.startswith("python")
    if not runs_python or python.parent == Path(sys.executable).parent:
        return
    yield Finding(
        "environment",
        "warn",
        f"the gptme that you start ({program}) runs in another Python than this command",
        "install gptme-reliability there as well: pipx inject gptme gptme-reliability, "
        "or uv tool install gptme --with gptme-reliability",
    )


# --- the server ---------------------------------------------------------------------------


def _server(endpoint: str, model: str | None) -> tuple[Finding, Served]:
    where = shown(endpoint)
    try:
        listing = list_models(endpoint)
    except InputError as error:
        return Finding("endpoint", "fail", str(error), _START), NOBODY
    if listing.status in _NO_KEY:
        says = f"{where} answers and wants a key; it was not asked further"
        return Finding("endpoint", "ok", says), NOBODY
    if listing.status != 200:
        says = f"{where} answers HTTP {listing.status} to /v1/models"
        fix = "check that the address ends in /v1 and is that of the server"
        return Finding("endpoint", "warn", says, fix), NOBODY
    name = (model or "").partition("/")[2] or (model or "")
    try:
        served = ask_server(endpoint, name)
    except InputError:
        return Finding("endpoint", "warn", f"{where} stopped answering", _START), NOBODY
    return _listed(where, name, listing, served), served


def _listed(where: str, name: str, listing: Listing, served: Served) -> Finding:
    kind = "a server of an unknown kind" if served.backend == "unknown" else served.backend
    says = f"{where} is {kind}"
    # llama.cpp answers with the model it has, whatever the request asks for.
    if not name or not listing.models or served.backend == "llama.cpp" or name in listing.models:
        return Finding("endpoint", "ok", says)
    fix = f"give gptme one of these names, or load {name} there"
    return Finding("endpoint", "warn", f"{says} and lists {_some(listing.models)}", fix)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


# --- the model ----------------------------------------------------------------------------


def _known(model: str, served: Served) -> Iterator[Finding]:
    try:
        identity, agreed, wire = agree(model, served)
        said = said_of(model)
    except ReliabilityError as error:
        yield Finding("card", "fail", str(error), "mend what it names")
        return
    named = shlex.quote(model)
    runs = f", which runs as {identity.name}" if identity.name != model else ""
    if identity.family is None and said.get("family"):
        yield Finding("model", "ok", f"{model}{runs}: family {said['family']}, as set")
    elif identity.family is None:
        says = f"{model}{runs} is of no family that is known"
        yield Finding("model", "warn", says, f"gptme-reliability cards new {named}")
    else:
        yield Finding("model", "ok", f"{model}{runs}: {words.parsed(identity)}")
    if not said.get("contracts", True):
        yield Finding("card", "ok", "not asked for: contracts = false")
    elif isinstance(wire, Broken):
        yield Finding("card", "fail", wire.message, f"gptme-reliability cards explain {named}")
    elif isinstance(agreed, Broken) or agreed.card_id is None:
        says = "none; what you set and what the server declares holds"
        yield Finding("card", "ok", says)
    else:
        yield Finding("card", "ok", agreed.card_id)
