"""Trains the tiny model from nothing: ``python -m tiny.train DIRECTORY``; see README.md.

A checkpoint is written every hundred steps.  A run that was cut off goes on with ``--resume``;
the learning rate falls to nothing over the second half of the steps that a run makes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import torch
from torch import Tensor, nn

from tiny import tokens
from tiny.conversations import Row, rows, spans
from tiny.model import Network, Shape, load

SEED: Final = 20_260
STEPS: Final = 3_000
BATCH_TOKENS: Final = 2_048
POOL: Final = 256
_LONGEST: Final = 768
# Rows until when most of them are drills: copying has to be there before anything else works.
_DRILLED: Final = 5_120
_DRILLS: Final = (0.6, 0.1)
_MATRIX_RATE: Final = 0.01
_OTHER_RATE: Final = 2e-3
_EVERY: Final = 100
# What the first token of an answer weighs: it decides between calling and talking.
_FIRST: Final = 5.0

Encoded = tuple[list[int], list[float]]
Made = Callable[[int, int], Iterator[Row]]
"""The rows of a pool by its number and a seed."""


def encoded(row: Row, tokenizer: Any) -> Encoded:
    """The tokens of a row, and what each of them weighs: nothing where it is not the model's."""
    found = tokenizer.encode(row.text)
    weights = [0.0] * len(found.ids)
    for begin, end in spans(row):
        own = [n for n, (start, _) in enumerate(found.offsets) if begin <= start < end]
        weights[own[0] : own[-1] + 1] = [_FIRST, *[1.0] * (len(own) - 1)]
    return found.ids, weights


def _made(number: int, seed: int) -> Iterator[Row]:
    return rows(POOL, seed, drills=_DRILLS[number * POOL >= _DRILLED])


def batches(tokenizer: Any, seed: int, made: Made = _made) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of about the same length together, for ever."""
    random, pool_number = Random(seed), 0
    while True:
        new = (encoded(row, tokenizer) for row in made(pool_number, seed + pool_number))
        pool_number += 1
        pool = [one for one in new if len(one[0]) <= _LONGEST]
        pool.sort(key=lambda one: len(one[0]))
        cut = list(_cut(pool))
        random.shuffle(cut)
        yield from map(_padded, cut)


def _cut(pool: Sequence[Encoded]) -> Iterator[list[Encoded]]:
    batch: list[Encoded] = []
    for one in pool:
        if batch and (len(batch) + 1) * len(one[0]) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(one)
    yield batch


def _padded(batch: Sequence[Encoded]) -> tuple[Tensor, Tensor]:
    length = max(len(ids) for ids, _ in batch)
    tokens_ = torch.zeros(len(batch), length, dtype=torch.long)
    weights_ = torch.zeros(len(batch), length)
    for row, (ids, weights) in enumerate(batch):
        tokens_[row, : len(ids)] = torch.tensor(ids)
        weights_[row, : len(weights)] = torch.tensor(weights)
    return tokens_, weights_


def optimizers(network: Network) -> tuple[Any, Any]:
    """One for the matrices between the layers, one for embeddings and norms."""
    inner = [p for p in network.blocks.parameters() if p.dim() == 2]
    ids = {id(p) for p in inner}
    outer = [p for p in network.parameters() if id(p) not in ids]
    return (
        torch.optim.Muon(inner, lr=_MATRIX_RATE, weight_decay=0.0, adjust_lr_fn="original"),
        torch.optim.AdamW(outer, lr=_OTHER_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    )


def train(
    directory: Path, steps: int, resumed: Path | None, threads: int, made: Made = _made
) -> None:
    """Train to the end, from nothing or from a checkpoint."""
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    tokenizer = tokens.load(_tokenizer(directory))
    network, done = load(resumed) if resumed else (Network(Shape()), 0)
    matrices, others = optimizers(network)
    since, losses, count = time.monotonic(), list[float](), 0
    # A resumed run sees other rows than the one before.
    stream = batches(tokenizer, SEED + 1_000_000 * (done + 1), made)
    for step in range(done + 1, steps + 1):
        ids, weights = next(stream)
        share = min(1.0, (step - done) / 50, 2 * (steps - step + 1) / (steps - done))
        for optimizer, rate in ((matrices, _MATRIX_RATE), (others, _OTHER_RATE)):
            optimizer.param_groups[0]["lr"] = rate * share
            optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = network(ids, weights)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        matrices.step()
        others.step()
        losses.append(loss.item())
        count += ids.numel()
        if step % 20 == 0:
            rate = count / (time.monotonic() - since)
            print(f"{step} loss {sum(losses) / len(losses):.4f} {rate:.0f} tokens/s", flush=True)
            since, losses, count = time.monotonic(), [], 0
        if step % _EVERY == 0 or step == steps:
            saved = {"network": network.state_dict(), "step": step}
            torch.save(saved, directory / f"step-{step:05}.pt")


def _tokenizer(directory: Path) -> Path:
    """The tokenizer, learned at the first run."""
    path = directory / "tokenizer.json"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        tokens.learn((row.text for row in rows(3_000, SEED, drills=0.1)), path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    train(given.directory, given.steps, given.resume, given.threads)


if __name__ == "__main__":
    main()
