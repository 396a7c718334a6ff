"""Digests in a configuration: matching files are read, others and files without a digest are refused with a hint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from corpora_cases import text_folder
from fuzz_readers import READERS
from hypothesis import given
from hypothesis import strategies as st
from modeling_cases import plain_model, write_checkpoint
from pickle_cases import gensim_pickle
from word_vector_cases import error_of, read

from lexigraft.artifacts import Provenance
from lexigraft.config.configuration import load_config
from lexigraft.corpora.build import write_corpus
from lexigraft.corpora.settings import CorpusSettings
from lexigraft.errors import ConfigError, InputError, LexigraftError
from lexigraft.files.checksums import check_digests, named_digests
from lexigraft.settings import parse
from lexigraft.sources.build import write_source
from lexigraft.sources.settings import SourceSettings
from lexigraft.tagged_corpora.read import read_tagged
from lexigraft.tagged_corpora.settings import TagFormat, TaggedFile
from lexigraft.tokenizers.build import write_tokenizer
from lexigraft.tokenizers.settings import TokenizerSettings
from lexigraft.workflow.external_inputs import outside_files

WRONG = "0" * 64


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@given(data=st.binary(max_size=100), other=st.binary(max_size=100))
def test_the_digest_of_the_content_is_compared(tmp_path_factory: pytest.TempPathFactory, data: bytes, other: bytes) -> None:
    path = tmp_path_factory.mktemp("digest") / "a"
    path.write_bytes(data)
    check_digests([path], hashlib.sha256(data).hexdigest(), "a file")
    if data != other:
        with pytest.raises(InputError, match="the SHA-256 digest of 'a' is"):
            check_digests([path], hashlib.sha256(other).hexdigest(), "a file")


def test_digests_are_matched_by_file_name_or_end_of_path() -> None:
    files = [Path("x/model/config.json"), Path("x/model/a.safetensors"), Path("x/tokenizer/config.json")]
    one, two, three = "1" * 64, "2" * 64, "3" * 64
    given = {"model/config.json": one, "a.safetensors": two, "tokenizer/config.json": three}
    assert named_digests(files, given, "here") == dict(zip(files, [one, two, three], strict=True))
    assert named_digests(files, None, "here") == {}
    assert named_digests(files[:1], one, "here") == {files[0]: one}
    cases: list[tuple[list[Path], str | dict[str, str], str]] = [
        (files, one, r"a single `sha256` digest is given for 3 files \(config.json, a.safetensors, config.json\)"),
        ([], one, "a single `sha256` digest is given for no file"),
        (files, {"config.json": one}, r"names 'config.json', which matches 2 files \(config.json, config.json\)"),
        (files, {"b.safetensors": one}, "names 'b.safetensors', which matches no file"),
        (files, {"fig.json": one}, "names 'fig.json', which matches no file"),
        (files, {"a.safetensors": two}, r"has no digest of 2 files \(config.json, config.json\)"),
        (files, {"": two}, "names '', which matches no file"),
    ]
    for paths, digests, problem in cases:
        with pytest.raises(InputError, match=problem):
            named_digests(paths, digests, "here")


@pytest.mark.parametrize("wrong", ["abc", "Z" * 64, {"a": "1"}, "A" * 64])
def test_an_invalid_digest_is_refused_when_the_configuration_is_read(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"is not a SHA-256 digest \(64 characters out of 0-9 and a-f\)"):
        parse(CorpusSettings, {"adapter": "text_folder", "path": "x", "sha256": wrong})
    if isinstance(wrong, str):
        with pytest.raises(ConfigError, match="is not a SHA-256 digest"):
            parse(TaggedFile, {"path": "x", "sha256": wrong})


# something that is read: a function that reads it with given digests, and the path of its file
Case = tuple[Callable[[Any], Any], Path]


def _corpus(folder: Path) -> Case:
    values = text_folder(folder, {"eng_Latn.txt": "a sentence\nanother one\n"})

    def run(digests: Any) -> None:
        names = ("sentences.parquet", "held_out.parquet", "counts.parquet")
        settings = parse(CorpusSettings, {**values, "sha256": digests})
        write_corpus(settings, *(folder / "out" / name for name in names), Provenance("corpus"))

    return run, next(folder.rglob("eng_Latn.txt"))


def _vectors(folder: Path) -> Case:
    (folder / "a.vec").write_text("one 1 2\ntwo 3 4\n")
    return lambda digests: read(folder / "a.vec", sha256=digests), folder / "a.vec"


def _tags(folder: Path) -> Case:
    (folder / "a.bio").write_text("Paris\tB-LOC\n")

    def run(digests: Any) -> None:
        read_tagged(parse(TaggedFile, {"path": str(folder / "a.bio"), "sha256": digests}), TagFormat(format="bio"), "eng_Latn")

    return run, folder / "a.bio"


def _tokenizer(folder: Path) -> Case:
    (folder / "t.json").write_bytes(READERS["tokenizers"].whole()["unigram.json"])

    def run(digests: Any) -> None:
        settings = parse(TokenizerSettings, {"kind": "existing", "path": str(folder / "t.json"), "sha256": digests})
        write_tokenizer(settings, None, folder / "out", 1, 1, Provenance("tokenizer"))

    return run, folder / "t.json"


@pytest.mark.parametrize("make", [_corpus, _vectors, _tags, _tokenizer])
def test_digests_are_checked_before_files_are_read(tmp_path: Path, make: Callable[[Path], Case]) -> None:
    run, path = make(tmp_path)
    right = sha256(path)
    with pytest.raises(LexigraftError, match=f"the SHA-256 digest of '{path.name}' is {right}, not {WRONG}"):
        run(WRONG)
    assert not (tmp_path / "out").exists()
    run(right)
    run(None)
    # a file that cannot be read fails at its digest first
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LexigraftError, match="the SHA-256 digest of"):
        run(right)


def test_all_files_of_a_checkpoint_need_a_digest(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", plain_model("bert"), "bert")
    (folder / "run_me.py").write_text("raise RuntimeError")
    files = [path for path in sorted(folder.iterdir()) if path.suffix in (".json", ".safetensors", ".txt", ".model")]
    digests = {path.name: sha256(path) for path in files}

    def build(**more: Any) -> None:
        settings = parse(SourceSettings, {"model": str(folder), "languages": ["eng_Latn"], **more})
        write_source(settings, tmp_path / "out", Provenance("source"))

    build(sha256=digests)
    weights = (tmp_path / "out" / "model.safetensors").read_bytes()
    build()
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == weights
    with pytest.raises(InputError, match=r"has no digest of model\.safetensors"):
        build(sha256={name: digest for name, digest in digests.items() if name != "model.safetensors"})
    # trusted code needs a digest, too
    with pytest.raises(InputError, match=r"has no digest of run_me\.py"):
        build(sha256=digests, trust_remote_code=True)
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(InputError, match=r"the SHA-256 digest of 'model\.safetensors'"):
        build(sha256=digests)


def test_side_files_of_gensim_need_a_digest(tmp_path: Path) -> None:
    (tmp_path / "a.kv").write_bytes(gensim_pickle({"index_to_key": ["x"], "__numpys": ["vectors"]}, 4))
    np.save(tmp_path / "a.kv.vectors.npy", np.ones((1, 2), np.float32))
    files = {path.name: sha256(path) for path in tmp_path.iterdir()}
    assert read(tmp_path / "a.kv", sha256=files).words.to_list() == ["x"]
    assert "has no digest of a.kv.vectors.npy" in error_of(tmp_path / "a.kv", sha256={"a.kv": files["a.kv"]})
    assert "digest is given for 2 files" in error_of(tmp_path / "a.kv", sha256=files["a.kv"])


def test_digests_that_match_no_file_stop_the_plan(tmp_path: Path) -> None:
    demo = yaml.safe_load((Path(__file__).parents[3] / "config" / "config.yaml").read_text())
    (tmp_path / "eng_Latn.txt").write_text("a\n")
    corpus = {"adapter": "text_folder", "path": str(tmp_path)}
    hub = {"adapter": "huggingface", "dataset": "owner/name", "languages": {"eng_Latn": "en"}}
    source = {"model": "owner/model", "languages": ["eng_Latn"], "sha256": {"model.safetensors": WRONG}}
    values = {
        **demo,
        "corpora": {**demo["corpora"], "one": {**corpus, "sha256": {"tur_Latn.txt": WRONG}}, "two": {**hub, "sha256": WRONG}},
        "sources": {**demo["sources"], "hub": source},
        "word_vectors": {**demo["word_vectors"], "files": {"kind": "files", "paths": str(tmp_path / "eng_Latn.txt")}},
    }
    with pytest.raises(InputError) as caught:
        outside_files(load_config(values))
    assert "corpora.one: `sha256` names 'tur_Latn.txt', which matches no file" in str(caught.value)
    assert "corpora.two: `sha256` needs local files, but the dataset is read from the hub" in str(caught.value)
    # the files of a model on a hub are unknown before it is downloaded
    assert "sources.hub" not in str(caught.value)
