"""How long one row of a corpus takes: ``check()`` beside json_repair, forge and BAML, in one run.

Run ``python tests/benchmarks/bench_recover.py --corpus rows.jsonl.gz``: rows with ``raw`` and
``tools``, and ``kind`` ``text`` where that is given.  Every reader takes each row once, so that
nothing it remembers of a row helps it (``--repeats`` takes the best of several); what it may
know before the answer comes (tool definitions, types) is prepared outside the clock.  A peer
that is not installed is named and left out: forge and BAML need Python 3.12.  Ratios are to
json_repair; below 1 means faster.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import json_repair

from gptme_reliability import ModelOutput, ToolDefinition, check

Reader = Callable[[], object]
Prepare = Callable[[str, list[Any]], Reader]

BAML_SOURCE = """
client<llm> Nobody { provider openai
  options { model "none"
    api_key "none" } }
class Call { @@dynamic }
function Read(answer: string) -> Call[] { client Nobody
  prompt #"{{ answer }} {{ ctx.output_format }}"# }
"""


def ours(raw: str, tools: list[Any]) -> Reader:
    definitions = [ToolDefinition.from_openai(tool) for tool in tools]
    return partial(check, ModelOutput(raw), definitions)


def ours_with_definitions(raw: str, tools: list[Any]) -> Reader:
    return lambda: check(ModelOutput(raw), [ToolDefinition.from_openai(tool) for tool in tools])


def repaired(raw: str, tools: list[Any]) -> Reader:
    return partial(json_repair.loads, raw)


def forge() -> Prepare:
    rescue = importlib.import_module("forge.prompts.templates").rescue_tool_call
    return lambda raw, tools: partial(rescue, raw, [_function(tool)["name"] for tool in tools])


def baml() -> Prepare:
    package = importlib.import_module("baml_py")
    builders = importlib.import_module("baml_py.baml_py")
    runtime = package.BamlRuntime.from_files(".", {"read.baml": BAML_SOURCE}, {})
    context = runtime.create_context_manager()
    modules = [ModuleType(name) for name in ("enums", "classes", "partials")]

    def prepare(raw: str, tools: list[Any]) -> Reader:
        types = _BamlTypes(builders.TypeBuilder())
        types.add_call([_function(tool) for tool in tools])

        def read() -> object:
            try:
                return runtime.parse_llm_response(
                    "Read", raw, *modules, False, context, types.builder, None, {}
                )
            except Exception as error:  # an answer that it cannot read takes time all the same
                return error

        return read

    return prepare


class _BamlTypes:
    """The tools' schemas as far as BAML has types for them."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def add_call(self, functions: Sequence[Any]) -> None:
        call = self.builder.class_("Call")
        names = [self.builder.literal_string(function["name"]) for function in functions]
        call.property("name").type(self._any_of(names))
        kinds = [self._of(f.get("parameters") or {}, f"A{i}") for i, f in enumerate(functions)]
        call.property("arguments").type(self._any_of(kinds))

    def _any_of(self, kinds: list[Any]) -> Any:
        return kinds[0] if len(kinds) == 1 else self.builder.union(*kinds)

    def _of(self, schema: Any, name: str) -> Any:
        builder, kind = self.builder, schema.get("type")
        plain = {
            "string": builder.string,
            "integer": builder.int,
            "number": builder.float,
            "boolean": builder.bool,
        }
        scalar = self._any_of([make() for make in plain.values()])
        if kind == "array":
            return builder.list(self._of(schema.get("items") or {}, f"{name}I"))
        if schema.get("properties"):
            made = builder.class_(name)
            for index, (key, member) in enumerate(schema["properties"].items()):
                field = self._of(member, f"{name}P{index}")
                needed = key in schema.get("required", ())
                made.property(key).type(field if needed else builder.optional(field))
            return made.field()
        if kind == "object":
            return builder.map(builder.string(), scalar)
        return plain[kind]() if kind in plain else scalar


def _function(tool: Any) -> Any:
    return tool.get("function", tool)


def rows(path: Path, every: int) -> Iterator[tuple[str, list[Any]]]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        for index, line in enumerate(lines):
            row = json.loads(line)
            if index % every == 0 and row.get("kind", "text") == "text" and row.get("tools"):
                yield row["raw"], row["tools"]


def best_us(reader: Reader, repeats: int) -> float:
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        reader()
        times.append(time.perf_counter() - begin)
    return min(times) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--every", type=int, default=9, help="read each n-th row (default 9)")
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    readers: dict[str, Prepare] = {
        "json_repair": repaired,
        "check": ours,
        "check, from_openai": ours_with_definitions,
    }
    for name, peer in (("forge", forge), ("baml", baml)):
        try:
            readers[name] = peer()
        except ImportError:
            print(f"{name}: not installed")
    times: dict[str, list[float]] = {name: [] for name in readers}
    for raw, tools in rows(options.corpus, options.every):
        for name, prepare in readers.items():
            try:
                reader = prepare(raw, tools)
            except Exception as error:
                if prepare in (ours, ours_with_definitions):
                    raise
                print(f"{name}: left out a row: {error}")
                continue
            times[name].append(best_us(reader, options.repeats))
    report(times)


def report(times: dict[str, list[float]]) -> None:
    ordered = {name: sorted(taken) for name, taken in times.items()}

    def at(name: str, share: float) -> float:
        return ordered[name][int(len(ordered[name]) * share)]

    print(f"{'reader':<20}{'rows':>7}{'median µs':>11}{'ratio':>7}{'p99 µs':>10}{'ratio':>7}")
    for name, taken in ordered.items():
        middle, late = at(name, 0.5), at(name, 0.99)
        print(
            f"{name:<20}{len(taken):>7}{middle:>11.0f}{middle / at('json_repair', 0.5):>7.2f}"
            f"{late:>10.0f}{late / at('json_repair', 0.99):>7.2f}"
        )


if __name__ == "__main__":
    main()
