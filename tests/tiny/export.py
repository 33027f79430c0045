"""Writes a checkpoint as GGUF: ``python -m tiny.export CHECKPOINT TOKENIZER OUTPUT``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

import gguf
import torch

from tiny import template, tokens
from tiny.model import Network, Shape, load

_NAMES: Final = {
    "attn.q.weight": "attn_q.weight",
    "attn.k.weight": "attn_k.weight",
    "attn.v.weight": "attn_v.weight",
    "attn.output.weight": "attn_output.weight",
    "attn.q_norm.weight": "attn_q_norm.weight",
    "attn.k_norm.weight": "attn_k_norm.weight",
    "attn_norm.weight": "attn_norm.weight",
    "ffn_norm.weight": "ffn_norm.weight",
    "gate.weight": "ffn_gate.weight",
    "up.weight": "ffn_up.weight",
    "down.weight": "ffn_down.weight",
}
"""Of a block: ours, and what llama.cpp calls them."""


def export(network: Network, tokenizer: Path, output: Path, kind: str, chat: str) -> None:
    """Write weights, tokenizer and chat template into one file."""
    writer = gguf.GGUFWriter(str(output), "qwen3")
    _write_shape(writer, network.shape)
    _write_tokens(writer, json.loads(tokenizer.read_text("utf-8")))
    writer.add_chat_template(template.source(chat))
    wanted = gguf.GGMLQuantizationType[kind]
    for name, weight in network.state_dict().items():
        data = weight.to(torch.float32).numpy()
        if data.ndim == 2:
            data = gguf.quants.quantize(data, wanted)
            writer.add_tensor(_name(name), data, raw_dtype=wanted)
        else:
            writer.add_tensor(_name(name), data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _name(ours: str) -> str:
    outer = {"embedding.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}
    if ours in outer:
        return outer[ours]
    _, number, inner = ours.split(".", 2)
    return f"blk.{number}.{_NAMES[inner]}"


def _write_shape(writer: Any, shape: Shape) -> None:
    writer.add_name("tiny tool caller")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_freq_base(shape.rope_base)


def _write_tokens(writer: Any, tokenizer: dict[str, Any]) -> None:
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    names = sorted(vocabulary, key=vocabulary.__getitem__)
    kinds = [
        gguf.TokenType.CONTROL
        if name in tokens.CONTROL
        else gguf.TokenType.USER_DEFINED
        if name in tokens.MARKS
        else gguf.TokenType.NORMAL
        for name in names
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokens.PIECES)
    writer.add_token_list(names)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(vocabulary["<|im_end|>"])
    writer.add_pad_token_id(vocabulary["<|endoftext|>"])
    writer.add_add_bos_token(False)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--kind", default="Q8_0", help="a GGML type: F32, F16, Q8_0, Q4_0")
    parser.add_argument("--template", default="tools", help="a chat template here")
    given = parser.parse_args()
    network, _ = load(given.checkpoint)
    export(network, given.tokenizer, given.output, given.kind, given.template)


if __name__ == "__main__":
    main()
