"""How well a model predicts held-out text, sentence by sentence.

- Masked models, `pseudo_perplexity`: the pseudo-log-likelihood of a sentence is the sum over its tokens of log P(token | all
  others), each token masked in turn; pseudo-perplexity is exp of minus its mean over all tokens (Salazar et al. 2020, section
  2.3, https://aclanthology.org/2020.acl-main.240). `masked`: a share of the tokens masked at once, as in pre-training; one
  forward pass per sentence instead of one per token.
- Causal models: log P(token | the tokens before it), the first one after the beginning-of-text token.

Losses per token cannot be compared between tokenizers. Bits per byte of UTF-8 can: the mean loss times the tokens, over ln 2
times the bytes (Gao et al. 2020, section 3.1, https://arxiv.org/abs/2101.00027); of a masked model they are no code length, but
compare alike. Every token of the text is predicted, unknown ones as well.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import polars as pl
import torch
from safetensors import SafetensorError

from lexigraft.artifacts import Provenance, identity, read_table
from lexigraft.devices import device_for
from lexigraft.errors import InputError, nearest
from lexigraft.evaluation.likelihoods import LIKELIHOODS, causal_scores, masked_scores
from lexigraft.evaluation.reuse import digest_of, reusable_rows, write_reusable
from lexigraft.evaluation.tasks.language_modeling import STAGE, LanguageModelingTask, metrics_of
from lexigraft.modeling.families import PREFIX, families
from lexigraft.modeling.load import load_model
from lexigraft.tokenizers.load import load_tokenizer

log = logging.getLogger(__name__)

SENTENCES = pl.Schema([("language", pl.String), ("sentence_id", pl.String), *LIKELIHOODS.items(), ("made_from", pl.String)])
"""`LIKELIHOODS` of every sentence, and a digest of all that they follow from."""


def write_language_modeling(
    task: LanguageModelingTask,
    *,
    sentences: Path,
    model_folder: Path,
    path: Path,
    seed: int,
    threads: int,
    gpus: int,
    provenance: Provenance,
) -> None:
    """Predict the held-out sentences of every language and write `SENTENCES`; rows that are still right are reused.

    Args:
        task: languages and measure.
        sentences: `held_out.parquet` of a corpus.
        model_folder: a masked language model of lexigraft, or a causal one that transformers saved, which has one measure.
        path: of the table.
        seed: of the tokens to mask; the same ones for every model with this tokenizer.
        threads: of the CPU.
        gpus: 0 computes on the CPU.
        provenance: of the table.

    Raises:
        InputError: a language has no held-out sentence, or the folder holds no model.
        ArtifactError: sentences or model are damaged.
    """
    torch.set_num_threads(threads)
    device = device_for(gpus)
    table = read_table(sentences, "corpus", ["language", "sentence_id", "text"])
    present = table["language"].unique(maintain_order=True).to_list()
    languages = task.languages or present
    if not languages:
        raise InputError("the corpus has no held-out sentences", where=sentences, hint="set its `held_out`")
    for language in languages:
        if language not in present:
            raise InputError(f"no held-out sentence in {language!r}; {nearest(language, present)}", where=sentences)
    texts = {code: table.filter(pl.col("language") == code).head(task.max_sentences or len(table)) for code in languages}
    same = (
        task.model_dump(mode="json", include={"measure", "mask_probability", "max_length"}),
        *(identity(model_folder / name) for name in ("model.safetensors", "tokenizer.json")),
        *(seed, provenance.code, provenance.lock),
    )
    keys = {code: digest_of(*same, texts[code].select("sentence_id", "text").rows()) for code in languages}
    rows = reusable_rows(path, STAGE, SENTENCES, keys)
    wanted = [language for language in languages if language not in rows]
    log.info("%d languages to score on %s, %d reused", len(wanted), device, len(rows))
    if wanted:
        tokenizer: Any = load_tokenizer(model_folder)
        causal = _is_causal(model_folder)
        model: Any = _causal_model(model_folder) if causal else load_model(model_folder)
        model = model.to(device).eval()
        for language in wanted:
            sentences_of = texts[language]["text"].to_list()
            if causal:
                found = causal_scores(model, tokenizer, sentences_of, task.max_length, language)
            else:
                found = masked_scores(model, tokenizer, sentences_of, task, seed, language)
            rows[language] = found.select(
                pl.lit(language).alias("language"),
                pl.lit(texts[language]["sentence_id"]).alias("sentence_id"),
                *LIKELIHOODS.names(),
                pl.lit(keys[language]).alias("made_from"),
            ).cast(SENTENCES)
            measured = rows[language].with_columns(surprise=-pl.col("log_likelihood"))
            scores = {name: metric.of_rows(measured) for name, metric in metrics_of(measured["measure"][0]).items()}
            log.info("%s: %s", language, ", ".join(f"{name} {score:.3f}" for name, score in scores.items()))
    write_reusable(path, pl.concat([rows[language] for language in languages]), provenance)


def _is_causal(folder: Path) -> bool:
    """Whether the folder's model is of a type that transformers knows as causal, and of none of the masked families."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    try:
        name = str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type"))
    except (OSError, ValueError):
        return False  # loading it as a masked model says what is wrong
    family = families().get(name.removeprefix(PREFIX))
    return (family is None or family.kind != "masked") and name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES


def _causal_model(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    except (OSError, ValueError, SafetensorError) as error:
        message = " ".join(str(error).split())[:300]
        raise InputError(f"the causal model cannot be loaded: {message}", where=folder, hint="save it again") from error
