"""Reading SentencePiece `.model` files, unigram or BPE, as fast tokenizers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexigraft.errors import InputError
from lexigraft.tokenizers.fast import fast_tokenizer, role_attributes
from lexigraft.tokenizers.proto import parse_model
from lexigraft.tokenizers.surfaces import METASPACE
from lexigraft.tokenizers.unigram import SPECIAL_TOKENS, framing

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

log = logging.getLogger(__name__)

_HINT = "name a model that SentencePiece wrote, or a tokenizer.json"
_UNIGRAM, _BPE = 1, 2
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4


def sentencepiece_tokenizer(file: Path) -> PreTrainedTokenizerFast:
    """Return a fast tokenizer with the pieces of a SentencePiece model, in the order of their ids.

    Roles without a token in the model (mask, often pad) get a new one with the next id; text is framed with `bos … eos`.

    Raises:
        InputError: the file is not a SentencePiece model, or its pieces are characters or words.
    """
    model = _parsed(file)
    try:
        return _fast(model, file)
    # the Rust library raises bare exceptions, and ids may be out of range
    except Exception as error:
        problem = f"no tokenizer can be made of the SentencePiece model ({' '.join(str(error).split())[:200]})"
        raise InputError(problem, where=file, hint=_HINT) from error


def _fast(model: Any, file: Path) -> PreTrainedTokenizerFast:
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    roles = _roles(model)
    added = {role: token for role, token in SPECIAL_TOKENS.items() if role not in roles}
    if added:
        log.info("%s has no %s: they are added", file.name, ", ".join(map(repr, added.values())))
    pieces += [(token, 0.0) for token in added.values()]
    roles |= added
    tokenizer = _tokenizer(model, pieces)
    control = [piece.piece for piece in model.pieces if piece.type == _CONTROL]
    user_defined = [piece.piece for piece in model.pieces if piece.type == _USER_DEFINED]
    _declare(tokenizer, [*roles.values(), *control], user_defined, roles["mask"])
    ids = {token: index for index, (token, _) in enumerate(pieces)}
    tokenizer.post_processor = framing(roles["bos"], ids[roles["bos"]], roles["eos"], ids[roles["eos"]])
    return fast_tokenizer(tokenizer, {**role_attributes(roles), "model_input_names": ["input_ids", "attention_mask"]})


def _parsed(file: Path) -> Any:
    try:
        model = parse_model(file.read_bytes())
    except ValueError as error:
        raise InputError(f"the file is not a SentencePiece model ({error})", where=file, hint=_HINT) from error
    if not model.pieces:
        raise InputError("the file is not a SentencePiece model: it holds no pieces", where=file, hint=_HINT)
    if model.trainer_spec.model_type not in (_UNIGRAM, _BPE):
        raise InputError("the SentencePiece model is neither unigram nor BPE", where=file, hint=_HINT)
    return model


def _roles(model: Any) -> dict[str, str]:
    """Tokens by role, from the ids in the model's training settings."""
    spec = model.trainer_spec
    by_id = {"bos": spec.bos_id, "eos": spec.eos_id, "pad": spec.pad_id, "unk": spec.unk_id}
    roles = {role: model.pieces[index].piece for role, index in by_id.items() if 0 <= index < len(model.pieces)}
    # a SentencePiece model has no field for the mask; the usual name counts if the piece is no ordinary one
    usual = {piece.piece for piece in model.pieces if piece.type in (_CONTROL, _USER_DEFINED)} & {"<mask>", "[MASK]"}
    return roles | ({"mask": sorted(usual)[0]} if usual else {})


def _tokenizer(model: Any, pieces: list[tuple[str, float]]) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    trained, normalization = model.trainer_spec, model.normalizer_spec
    if trained.model_type == _UNIGRAM:
        kind: Any = models.Unigram(pieces, unk_id=trained.unk_id, byte_fallback=trained.byte_fallback)
    else:
        ids = {piece: index for index, (piece, _) in enumerate(pieces)}
        text = [(piece.piece, piece.score) for piece in model.pieces if piece.type == _NORMAL]
        kind = models.BPE(
            vocab=ids,
            merges=bpe_merges(text),
            unk_token=pieces[trained.unk_id][0],
            fuse_unk=True,
            byte_fallback=trained.byte_fallback,
        )
    tokenizer = Tokenizer(kind)
    steps: list[Any] = []
    if normalization.precompiled_charsmap:
        steps.append(normalizers.Precompiled(normalization.precompiled_charsmap))
    if normalization.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps)
    space = {
        "replacement": METASPACE,
        "prepend_scheme": "always" if normalization.add_dummy_prefix else "never",
        # pieces that hold a space inside exist only if the model was trained across words
        "split": trained.split_by_whitespace,
    }
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(**space)
    to_text: Any = decoders.Metaspace(**space)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), to_text]) if trained.byte_fallback else to_text
    return tokenizer


def bpe_merges(pieces: list[tuple[str, float]]) -> list[tuple[str, str]]:
    """Return the merges of a SentencePiece BPE model, which stores pieces only: all splits of a piece into two others.

    SentencePiece merges the neighbors whose union has the highest score, so merges are ordered by that score.

    Args:
        pieces: (piece, score) of the text pieces.
    """
    scores = dict(pieces)
    merges = [
        (-score, index, piece[:cut], piece[cut:])
        for index, (piece, score) in enumerate(pieces)
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]
    # pieces with equal scores, and the splits of one piece, keep their order
    return [(left, right) for _, _, left, right in sorted(merges, key=lambda merge: merge[:2])]


def _declare(tokenizer: Tokenizer, special: list[str], user_defined: list[str], mask: str) -> None:
    from tokenizers import AddedToken

    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False, lstrip=token == mask) for token in dict.fromkeys(special)]
    )
    plain = [token for token in user_defined if token not in special]
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in plain])
