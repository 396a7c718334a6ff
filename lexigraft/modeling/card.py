"""The model card: a README.md as the Hugging Face hub reads it (https://huggingface.co/docs/hub/model-cards)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

_METHODS = {
    "random": "tokens shared with the source are copied, all others drawn from the distribution of the source's coordinates",
    "ofa": "OFA (Liu et al. 2024): tokens shared with the source are copied, others are combinations of source tokens whose "
    "word vectors are close",
    "hyperofa": "HyperOFA (Özeren, Liu and Schütze 2025, arXiv:2504.21018): tokens shared with the source are copied, others "
    "are predicted from their word vectors by a hypernetwork",
    "graft": "graft: OFA on words of the source model's languages, weighted by coverage and frequency, with verified copies",
}
_ORIGINS = {
    "copied": "copied from the source token of the same form or role",
    "computed": "computed from word vectors",
    "mean": "mean of the source's coordinates",
    "random": "drawn at random",
}
_LOADING = "## How to load"
_FACTORizED = "`lexigraft export FOLDER OUT` writes a copy that loads without lexigraft."
_MULTIPLIED = "The embeddings are multiplied out (E = F P); lexigraft is not needed."
_PLAIN = "The embeddings are not factorized: this is a plain model of transformers, lexigraft is not needed."
_INITIALizED, _TRAINED = "initialized, not trained further", "initialized and then pre-trained further"


def model_card(
    *,
    name: str,
    method: str,
    options: Mapping[str, Any],
    seed: int,
    source: str,
    source_license: str | None,
    base_model: str | None,
    languages: Sequence[str],
    dim: int | None,
    balanced: bool,
    parameters: int,
    counts: Mapping[str, int],
    corpus: str,
    tokenizer: str,
    vectors: str,
) -> str:
    """Write the card of an initialized model.

    Args:
        method, options: the initializer and its settings.
        source, base_model: the source model as the configuration names it, and its hub id, None where it has none.
        source_license: license identifier of the source model, None where it is not known.
        languages: codes of the form iso639-3_Script that the target tokenizer was made for; empty where that is not known.
        dim, balanced: D', None where the embeddings are not factorized; whether F and P are balanced (`assemble`).
        counts: number of target tokens of each origin (`TokenMap.counts`).
        corpus, tokenizer, vectors: what they are, a few words each.

    Returns:
        Markdown with YAML front matter. Nothing of the machine or the time is in it.
    """
    codes = list(dict.fromkeys(code[:3] for code in languages))
    front = {
        "library_name": "transformers",
        "pipeline_tag": "fill-mask",
        "tags": ["lexigraft", "multilingual", *([] if dim is None else ["factorized-embeddings"]), method],
        **({"language": codes} if codes else {}),
        "license": source_license or "unknown",
        **({"base_model": base_model} if base_model else {}),
    }
    vocabulary = sum(counts.values())
    license_text = f"The license of the source model `{source}` is not recorded here; it holds for this model as well."
    if source_license is not None:
        license_text = f"The source model `{source}` is under {source_license}; this model is derived from it."
    of_languages = f" for {len(codes)} language{'s' if len(codes) > 1 else ''}" if codes else ""
    embeddings = "" if dim is None else f" with factorized word embeddings (E = F P, D' = {dim})"
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=True, allow_unicode=True)}---",
        f"# {name}",
        f"A masked language model{embeddings}, {_INITIALizED}: the encoder of "
        f"`{source}` grafted onto a vocabulary of {vocabulary:,} tokens{of_languages}. "
        f"{parameters / 1e6:,.1f} M parameters.",
        _how_made(method, {**options, "seed": seed} | ({"balanced_factors": True} if balanced else {}), counts),
        "## Data\n\n" + _table(("what", "which"), {"corpus": corpus, "tokenizer": tokenizer, "word vectors": vectors}),
    ]
    parts += [_loading(_PLAIN if dim is None else _FACTORizED), f"## License\n\n{license_text}"]
    return "\n\n".join(parts) + "\n"


def trained_card(card: str, section: str) -> str:
    """Return the card of an initialized model after continual pre-training.

    Args:
        card: of the initialized model.
        section: settings and results of the training, Markdown that starts with a heading `## …`.
    """
    before, loading, after = card.replace(_INITIALizED, _TRAINED).partition(f"{_LOADING}\n")
    return f"{before.rstrip()}\n\n{section.strip()}\n\n{loading}{after}".rstrip() + "\n"


def exported_card(card: str) -> str:
    """Return the card of an exported model: plain transformers load it. That of a model that is plain already stays."""
    if _PLAIN in card:
        return card
    before, _, rest = card.partition(f"{_LOADING}\n")
    after = re.search(r"^## .*", rest, flags=re.M | re.S)
    parts = [before, _loading(_MULTIPLIED), after[0] if after else ""]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _how_made(method: str, options: Mapping[str, Any], counts: Mapping[str, int]) -> str:
    total = max(sum(counts.values()), 1)
    rows = {_ORIGINS.get(origin, origin): f"{count:,} ({100 * count / total:.1f} %)" for origin, count in counts.items()}
    return (
        f"## How it was made\n\nMethod: {_METHODS.get(method, method)}.\n\n"
        + _table(("tokens", "number"), rows)
        + "\n\n"
        + _table(("option", "value"), options)
        + "\n\n`tokens.parquet` says how the row of each token was made, of which source tokens: `lexigraft explain` shows it."
    )


def _loading(last: str) -> str:
    first = "import lexigraft  # makes transformers know this kind of model\n" if last == _FACTORizED else ""
    return (
        f"{_LOADING}\n\n```python\n{first}from transformers import AutoModelForMaskedLM, AutoTokenizer\n\n"
        'model = AutoModelForMaskedLM.from_pretrained("this folder")\n'
        f'tokenizer = AutoTokenizer.from_pretrained("this folder")\n```\n\n{last}'
    )


def _table(head: tuple[str, str], rows: Mapping[str, Any]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {_cell(key)} | {_cell(value)} |" for key, value in rows.items())])


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        text = ", ".join(f"{key}: {item}" for key, item in value.items())
    elif isinstance(value, list | tuple):
        text = ", ".join(map(str, value))
    else:
        text = str(value)
    return " ".join(text.split()).replace("|", r"\|")
