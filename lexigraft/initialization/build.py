"""The stage that initializes a model: rows of the target vocabulary by its token map, assembled into a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lexigraft.artifacts import Provenance
from lexigraft.errors import ArtifactError, InputError
from lexigraft.evidence.base import EvidenceSet, TokenPair
from lexigraft.factors.tables import read_embedding_table, read_output_table
from lexigraft.initialization.rows import target_rows
from lexigraft.initializers import read_method
from lexigraft.modeling.assembling import assemble
from lexigraft.modeling.card import model_card
from lexigraft.modeling.saving import token_table, write_model_folder
from lexigraft.token_maps.token_map import read_token_map


def write_initialized_model(
    method: Mapping[str, Any],
    files: Mapping[str, Path],
    folder: Path,
    *,
    source_languages: tuple[str, ...],
    card: Mapping[str, Any],
    parity: bool,
    balanced: bool,
    threads: int,
    gpus: int,
    provenance: Provenance,
) -> None:
    """Initialize the target vocabulary and write the model folder: weights, configuration, tokenizer, card, token table.

    Args:
        method: an initializer's name and options, as in the configuration.
        files: `weights` of the source, in its folder; `table`, its factors, or the weights again where D' is `full`;
            `tokenizer` of the target, in its folder; `source_vocabulary`, `target_vocabulary`; `token_map`; and the files of
            the evidence that the method's dense rows need.
        folder: of the model.
        source_languages: languages that the source model was pretrained on.
        card: arguments of `model_card` that say where things come from.
        parity, balanced: see `assemble`.
        threads, gpus: what may be used; without a GPU everything runs on the CPU.
        provenance: its seed is that of everything random.

    Raises:
        ArtifactError: an artifact is damaged, or two do not belong together.
        InputError: the method cannot make the rows of an output table that is not tied to the embeddings.
    """
    torch.set_num_threads(threads)
    initializer, seed = read_method(method), provenance.seed or 0
    tokens = TokenPair.read(files["source_vocabulary"], files["target_vocabulary"], source_languages)
    table = read_embedding_table(files["table"])
    if len(tokens.source) != len(table.rows):
        raise ArtifactError(
            f"{len(tokens.source)} source tokens but {len(table.rows)} rows in the source table",
            where=f"{files['source_vocabulary']}, {files['table']}",
            hint="delete both and run snakemake again",
        )
    found = read_token_map(files["token_map"], len(tokens.target), len(tokens.source))
    evidence = EvidenceSet.read(initializer.row_needs, files, tokens, gpus)
    added = initializer.rows(table, tokens, evidence, seed)
    rows = target_rows(found, table.rows, added, seed)
    output_rows = None
    if (output := read_output_table(files["weights"])) is not None:
        if initializer.row_needs:
            raise InputError(
                f"{card['method']} predicts rows of the input embeddings, and this model has an output table of its own",
                where=files["weights"],
                hint="use a method without a network",
            )
        output_rows = target_rows(found, output.rows, initializer.rows(output, tokens, evidence, seed), seed)
    model = assemble(
        files["weights"].parent,
        rows,
        table.primitives,
        found,
        tokens.target,
        output_rows=output_rows,
        parity=parity,
        balanced=balanced,
    )
    text = model_card(
        **card,
        options=initializer.model_dump(mode="json"),
        seed=seed,
        base_model=None if ":" in card["source"] or Path(card["source"]).exists() else card["source"],
        dim=table.dim,
        balanced=balanced,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        counts=found.counts(),
    )
    made = token_table(tokens.target, tokens.source, found, None if added is None else added.tokens)
    write_model_folder(model, files["tokenizer"].parent, folder, made, text, provenance)
