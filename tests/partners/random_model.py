"""A language model of random weights, half a megabyte small: it babbles all kinds of bytes, always the same.

Its tokens are the 256 bytes, the signs of ASCII and a few words, so that any text can be said and read.
"""

from pathlib import Path
from typing import Final

import numpy as np
from gguf import GGUFWriter, LlamaFileType, TokenType

CONTEXT: Final = 1024
"""Tokens that it was made for."""

_SEED: Final = 7
_WIDTH, _INNER, _LAYERS, _HEADS = 64, 128, 2, 4
_MARKS: Final = ("<unk>", "<s>", "</s>")
_WORDS: Final = ("▁", "▁the", "▁river", "▁stone", "▁café", "東", "京", "ing", *map(chr, range(33, 127)))
_BYTES: Final = tuple(f"<0x{byte:02X}>" for byte in range(256))
_TEMPLATE: Final = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


def write_random_model(path: Path) -> None:
    """As a GGUF file of llama's architecture."""
    writer = GGUFWriter(path, "llama")
    writer.add_file_type(LlamaFileType.ALL_F32)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_feed_forward_length(_INNER)
    writer.add_block_count(_LAYERS)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    _add_tokens(writer)
    _add_weights(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokens(writer: GGUFWriter) -> None:
    kinds = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
    kinds += [TokenType.BYTE] * len(_BYTES) + [TokenType.NORMAL] * len(_WORDS)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([*_MARKS, *_BYTES, *_WORDS])
    writer.add_token_scores(
        [0.0] * (len(_MARKS) + len(_BYTES)) + [-float(rank) for rank in range(len(_WORDS))]
    )
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(_TEMPLATE)


def _add_weights(writer: GGUFWriter) -> None:
    dice = np.random.default_rng(_SEED)
    tokens = len(_MARKS) + len(_BYTES) + len(_WORDS)

    def add(name: str, *shape: int) -> None:
        writer.add_tensor(f"{name}.weight", dice.normal(0, 0.5, shape).astype(np.float32))

    def add_norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(_WIDTH, np.float32))

    add("token_embd", tokens, _WIDTH)
    add("output", tokens, _WIDTH)
    add_norm("output_norm")
    for layer in (f"blk.{number}" for number in range(_LAYERS)):
        add_norm(f"{layer}.attn_norm")
        add_norm(f"{layer}.ffn_norm")
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"{layer}.{part}", _WIDTH, _WIDTH)
        add(f"{layer}.ffn_gate", _INNER, _WIDTH)
        add(f"{layer}.ffn_up", _INNER, _WIDTH)
        add(f"{layer}.ffn_down", _WIDTH, _INNER)
