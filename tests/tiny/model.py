"""The network: a Qwen 3 of two million parameters.

Normalised queries and keys are what lets so small a model learn to copy at all: without them
its attention saturates early.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the network; ``width`` is a multiple of 256, which every quantisation takes."""

    vocabulary: int = 1536
    width: int = 256
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    head: int = 64
    inner: int = 512
    context: int = 2048
    epsilon: float = 1e-6
    rope_base: float = 10_000.0


class Attention(nn.Module):  # type: ignore[misc]  # torch is not there where types are checked
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.q = nn.Linear(shape.width, shape.heads * shape.head, bias=False)
        self.k = nn.Linear(shape.width, shape.kv_heads * shape.head, bias=False)
        self.v = nn.Linear(shape.width, shape.kv_heads * shape.head, bias=False)
        self.output = nn.Linear(shape.heads * shape.head, shape.width, bias=False)
        self.q_norm = nn.RMSNorm(shape.head, shape.epsilon)
        self.k_norm = nn.RMSNorm(shape.head, shape.epsilon)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        rows, length, _ = x.shape
        q = self.q_norm(self.q(x).float().view(rows, length, self.shape.heads, -1)).transpose(1, 2)
        k = self.k_norm(self.k(x).float().view(rows, length, self.shape.kv_heads, -1)).transpose(
            1, 2
        )
        v = self.v(x).view(rows, length, self.shape.kv_heads, -1).transpose(1, 2)
        q, k = _turned(q, turns).to(v.dtype), _turned(k, turns).to(v.dtype)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.output(seen.transpose(1, 2).reshape(rows, length, -1))


class Block(nn.Module):  # type: ignore[misc]  # torch is not there where types are checked
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attn_norm = nn.RMSNorm(shape.width, shape.epsilon)
        self.attn = Attention(shape)
        self.ffn_norm = nn.RMSNorm(shape.width, shape.epsilon)
        self.gate = nn.Linear(shape.width, shape.inner, bias=False)
        self.up = nn.Linear(shape.width, shape.inner, bias=False)
        self.down = nn.Linear(shape.inner, shape.width, bias=False)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.attn(self.attn_norm(x), turns)
        y = self.ffn_norm(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))


class Network(nn.Module):  # type: ignore[misc]  # torch is not there where types are checked
    """Tokens in, a loss or the scores of the next tokens out; both ends share the embedding."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, shape.epsilon)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=0.02)
            if name.endswith(("output.weight", "down.weight")):
                nn.init.zeros_(weight)

    def forward(self, tokens: Tensor, weights: Tensor) -> Tensor:
        """The mean loss over the ``tokens``, each by its weight (both: rows by length)."""
        x, turns = self.embedding(tokens[:, :-1]), self._turns(tokens.shape[1] - 1)
        for block in self.blocks:
            x = block(x, turns)
        weights = weights[:, 1:]
        own = weights > 0
        scores = functional.linear(self.norm(x[own]), self.embedding.weight)
        losses = functional.cross_entropy(scores.float(), tokens[:, 1:][own], reduction="none")
        return (losses * weights[own]).sum() / weights.sum()

    def _turns(self, length: int) -> tuple[Tensor, Tensor]:
        half = self.shape.head // 2
        speeds = self.shape.rope_base ** (-torch.arange(half) / half)
        angles = torch.outer(torch.arange(length), speeds)
        return angles.cos(), angles.sin()


def _turned(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Positions as angles between the two halves of a head."""
    cos, sin = turns
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1)


def load(path: Any) -> tuple[Network, int]:
    """A checkpoint: the network, and the steps it has behind it."""
    saved = torch.load(path, weights_only=True)
    network = Network(Shape())
    network.load_state_dict(saved["network"])
    return network, saved["step"]
