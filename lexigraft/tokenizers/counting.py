"""How often each token occurs in a corpus."""

from __future__ import annotations

import copy
import logging
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lexigraft.errors import InputError
from lexigraft.progress import progress
from lexigraft.tokenizers.sentences import count_sentences, text_blocks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

log = logging.getLogger(__name__)


def count_tokens(tokenizer: PreTrainedTokenizerFast, sentences_path: Path, block: int = 10_000) -> NDArray[np.int64]:
    """Count the tokens of a corpus, without the special tokens that frame a sentence.

    Args:
        tokenizer: any fast tokenizer whose ids are 0 … V-1.
        sentences_path: `sentences.parquet` of a corpus.
        block: sentences that are encoded at a time.

    Returns:
        (V,) int64.

    Raises:
        ArtifactError: the corpus is damaged.
        InputError: the corpus is empty.
    """
    # a copy: truncation or padding that the caller has set would change the counts, and stays set for the caller
    backend = copy.deepcopy(tokenizer.backend_tokenizer)
    backend.no_truncation()
    backend.no_padding()
    blocks = text_blocks(sentences_path, block)
    sentences = count_sentences(sentences_path)
    if sentences == 0:
        raise InputError(
            "the corpus is empty: there is no text to count tokens on", where=sentences_path, hint="add text to it"
        )
    counts = np.zeros(len(tokenizer), dtype=np.int64)
    for texts in progress(blocks, -(-sentences // block), "counting tokens", "blocks"):
        encodings = backend.encode_batch_fast(texts, add_special_tokens=False)
        ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), dtype=np.int64)
        counts += np.bincount(ids, minlength=len(counts))
    log.info("%d tokens in %d sentences; %d of %d kinds occur", counts.sum(), sentences, (counts > 0).sum(), len(counts))
    return counts
