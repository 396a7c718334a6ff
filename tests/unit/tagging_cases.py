"""Small models with tokenizers that put special tokens around text, and tagged sentences that can be learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from modeling_cases import factors, mixed_rows, plain_model, vocabulary, write_source
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from lexigraft.artifacts import Provenance
from lexigraft.modeling.assembling import assemble
from lexigraft.modeling.saving import token_table, write_model_folder
from lexigraft.tokenizers.vocabulary import Vocabulary

SIZE = 45
WORDS = [f"w{index}" for index in range(5, SIZE)]
"""Words that the small models' tokenizers know."""


def word_tokenizer(target: Vocabulary) -> PreTrainedTokenizerFast:
    """A word-level tokenizer: spaces and hyphens separate tokens, the first and last token of a text are special."""
    ids = {token: index for index, token in enumerate(target.tokens)}
    role = {name: target.tokens[target.roles.index(name)] for name in ("pad", "unk", "bos", "eos", "mask")}
    backend = Tokenizer(models.WordLevel(ids, unk_token=role["unk"]))
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("-", "removed")])
    special = [(role[name], ids[role[name]]) for name in ("bos", "eos")]
    backend.post_processor = processors.TemplateProcessing(single=f"{role['bos']} $A {role['eos']}", special_tokens=special)
    names = {"pad_token": "pad", "unk_token": "unk", "mask_token": "mask", "cls_token": "bos", "sep_token": "eos"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **{name: role[value] for name, value in names.items()})


def write_model(folder: Path, name: str = "bert", *, full: bool = False, card: str = "# a model\n") -> Path:
    """A small model of a family, factorized or `full`, as the initialization stage writes it, with `word_tokenizer`."""
    source = plain_model(name)
    write_source(folder / "source", source)
    embeddings = source.get_input_embeddings().weight.detach().numpy()
    coordinates, primitives = (embeddings.copy(), None) if full else factors(embeddings, 7)
    target = vocabulary(name, SIZE)
    rows, made = mixed_rows(coordinates, SIZE, 20)
    model = assemble(folder / "source", rows, primitives, made, target)
    word_tokenizer(target).save_pretrained(folder / "tokenizer")
    table = token_table(target, vocabulary(name), made)
    write_model_folder(model, folder / "tokenizer", folder / "model", table, card, Provenance("initialized_model"))
    return folder / "model"


def conllu(sentences: list[tuple[list[str], list[str]]]) -> str:
    """CoNLL-U of words and tags."""
    lines = []
    for words, tags in sentences:
        rows = enumerate(zip(words, tags, strict=True), start=1)
        lines += [f"{number}\t{word}\t_\t{tag}" + "\t_" * 6 for number, (word, tag) in rows] + [""]
    return "\n".join(lines) + "\n"


def learnable(count: int, seed: int) -> list[tuple[list[str], list[str]]]:
    """Sentences whose words' tags follow from the words alone."""
    rng = np.random.default_rng(seed)
    tag = {word: ("NOUN", "VERB", "X")[index % 3] for index, word in enumerate(WORDS)}
    chosen = [[WORDS[index] for index in rng.integers(len(WORDS), size=rng.integers(1, 9))] for _ in range(count)]
    return [(words, [tag[word] for word in words]) for words in chosen]


def tagging_values(folder: Path, **changes: Any) -> dict[str, Any]:
    """Files of learnable sentences in `folder`, and the values of a task that reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, count, seed in (("train", 48, 1), ("dev", 12, 2), ("test", 12, 3)):
        (folder / f"{name}.conllu").write_text(conllu(learnable(count, seed)), encoding="utf-8")
    return {
        "kind": "tagging",
        "format": "conllu",
        "train": {"eng_Latn": str(folder / "train.conllu")},
        "dev": {"eng_Latn": str(folder / "dev.conllu")},
        "test": {"eng_Latn": str(folder / "test.conllu")},
        "fine_tuning": {
            "epochs": 2,
            "batch_size": 8,
            "micro_batch": 3,
            "learning_rate": 5e-3,
            "evaluate_every": 5,
            "max_length": 16,
            **changes,
        },
    }
