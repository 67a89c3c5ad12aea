"""A classifier of sound is asked about every clip once, and what it says is learnt from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the extra train (PyTorch)")
pytest.importorskip("PIL.Image", reason="needs the extra train (pillow)")

from kws_stream.cli import main  # noqa: E402
from kws_stream.errors import DataError  # noqa: E402
from kws_stream.features import FeatureSettings  # noqa: E402
from kws_stream.training import posteriors as posteriors_module  # noqa: E402
from kws_stream.training.batches import Batches  # noqa: E402
from kws_stream.training.corpus import Corpus  # noqa: E402
from kws_stream.training.loop import Training  # noqa: E402
from kws_stream.training.loss import sequence_loss  # noqa: E402
from kws_stream.training.picture_sound import HOP, POINTS, WINDOW, SoundOfPictures  # noqa: E402
from kws_stream.training.pictures import BANDS, FRAMES  # noqa: E402
from kws_stream.training.posteriors import Posteriors, ask_about, taught_by  # noqa: E402
from kws_stream.training.sampling import Sampler  # noqa: E402
from tests.recipe_factory import small_recipe  # noqa: E402
from tests.training.test_pictures import save  # noqa: E402

CLASSES = ("silence", "unknown", "yes", "no", "up", "down", "left", "right")
CLASSES += ("on", "off", "stop", "go")
TONES_HZ = {"yes": 300.0, "no": 600.0, "up": 1200.0, "unknown": 2400.0}


def hears_tones(samples: np.ndarray) -> np.ndarray:
    """Logits of a classifier that knows the words of the corpus by their tones."""
    spectrum = np.abs(np.fft.rfft(samples))
    logits = np.zeros(len(CLASSES), np.float32)
    for word, tone_hz in TONES_HZ.items():
        logits[CLASSES.index(word)] = 5 * spectrum[round(tone_hz)] / spectrum.max()
    return logits


@pytest.fixture(scope="module")
def asked(data: Path) -> Posteriors:
    return ask_about(hears_tones, CLASSES, data)


def test_every_clip_is_asked_about_and_read_again_in_every_bit(
    asked: Posteriors, corpus: Corpus, tmp_path: Path
) -> None:
    assert sorted(asked.keys["recordings"]) == sorted(corpus.clips["speech_commands"].keys)
    asked.save(tmp_path / "posteriors.npz")
    again = Posteriors.load(tmp_path / "posteriors.npz")
    assert again.classes == asked.classes
    assert again.keys == asked.keys
    assert np.array_equal(again.logits["recordings"], asked.logits["recordings"])


def test_each_drawn_clip_comes_with_what_its_teacher_says_of_it(
    asked: Posteriors, corpus: Corpus
) -> None:
    recipe = small_recipe(teacher_weight=0.5)
    taught = asked.teach(corpus, recipe.classes)
    drawn = Sampler(taught, recipe).draw(300, torch.Generator().manual_seed(0))
    known = ~drawn.taught[:, 0].isnan()
    of_words = torch.isin(drawn.labels, torch.tensor([0, 1, 2]))
    assert bool((known == of_words).sum() > 200)
    assert torch.equal(drawn.taught[known].argmax(-1), drawn.labels[known])
    silence = recipe.classes.index("silence")
    assert not bool(known[drawn.labels == silence].any())  # noise is no clip that was asked about


def test_a_clip_that_the_teacher_calls_otherwise_is_learnt_from_its_label_alone(
    corpus: Corpus, data: Path
) -> None:
    recipe = small_recipe(teacher_weight=0.5)
    always_go = ask_about(lambda samples: np.eye(12, dtype=np.float32)[-1], CLASSES, data)
    drawn = Sampler(always_go.teach(corpus, recipe.classes), recipe).draw(
        200, torch.Generator().manual_seed(0)
    )
    assert bool(drawn.taught.isnan().all())


def test_only_taught_clips_give_a_share_of_their_loss_to_the_teacher() -> None:
    recipe = small_recipe(teacher_weight=0.25, between_weight=0.0, label_smoothing=0.0)
    torch.manual_seed(0)
    logits, labels = torch.randn(50, 2, 12), torch.tensor([[3], [5]])
    taught = torch.full((1, 2, 12), torch.nan)
    alone = sequence_loss(logits, labels, recipe)
    assert torch.equal(sequence_loss(logits, labels, recipe, taught), alone)
    taught[0, 1] = torch.randn(12)
    one = sequence_loss(logits[:, :1], labels[:1], recipe)
    other = sequence_loss(logits[:, 1:], labels[1:], recipe, taught[:, 1:])
    torch.testing.assert_close(
        sequence_loss(logits, labels, recipe, taught), (one + other) / 2, equal_nan=False
    )


def test_a_recipe_learns_from_posteriors_in_place_of_a_network(
    asked: Posteriors, corpus: Corpus, tmp_path: Path
) -> None:
    asked.save(tmp_path / "posteriors.npz")
    recipe = small_recipe(
        teacher_weight=0.5, teacher="posteriors", steps=2, batch_size=4, clips_per_sequence=2
    )
    taught, network = taught_by([tmp_path / "posteriors.npz"], recipe, corpus)
    assert network is None
    batch = Batches(taught, recipe).draw(torch.Generator().manual_seed(0))
    assert batch.taught.shape == (4, 2, 12)
    assert bool((~batch.taught.isnan()).any())
    parameters = []
    for weight in (0.5, 0.0):
        training = Training(replace(recipe, teacher_weight=weight), taught, tmp_path / "run")
        training.advance()
        parameters.append(training.network.classifier.weight.detach().clone())
    assert not torch.equal(*parameters)


def test_pictures_are_asked_about_as_sound_made_from_them(
    data: Path, corpus: Corpus, tmp_path: Path
) -> None:
    words = corpus.clips["speech_commands"]
    for word, name in zip(words.words, words.names, strict=True):
        save(tmp_path, str(word), str(name), picture_of_tone(TONES_HZ.get(str(word), 2400.0)))
    asked = ask_about(hears_tones, CLASSES, data, tmp_path)
    of_pictures = dict(zip(asked.keys["pictures"], asked.logits["pictures"], strict=True))
    assert len(of_pictures) == 120
    called = {key: CLASSES[logits.argmax()] for key, logits in of_pictures.items()}
    right = [said == key.split("/")[0].replace("cat", "unknown") for key, said in called.items()]
    assert np.mean(right) > 0.95


def picture_of_tone(tone_hz: float) -> np.ndarray:
    """A picture (98, 40) of 0.6 s of a tone in the middle of a second: one band is loud."""
    picture = np.full((FRAMES, BANDS), 40, np.uint8)
    picture[20:78, round(tone_hz / 100)] = 220
    return picture


def test_sound_from_pictures_has_the_pictures_spectrum() -> None:
    time_s = np.arange(16_000) / 16_000
    tones = np.array([500.0, 1000.0, 2000.0])
    sound = (0.3 * np.sin(2 * np.pi * tones[:, None] * time_s)).astype(np.float32)
    pixels = np.full((3, FRAMES, BANDS), 10, np.uint8)
    pixels[np.arange(3), :, [5, 10, 20]] = 200
    made = SoundOfPictures.fit(pixels, sound).sound(pixels)
    assert made.shape == (3, 16_000)
    found = np.abs(np.fft.rfft(made[:, : (FRAMES - 1) * HOP + WINDOW])).argmax(1)
    assert np.abs(found * 16_000 / ((FRAMES - 1) * HOP + WINDOW) - tones).max() < 16_000 / POINTS
    assert np.array_equal(made, SoundOfPictures.fit(pixels, sound).sound(pixels))


def test_other_files_classes_and_clips_are_refused_in_a_sentence(
    asked: Posteriors, corpus: Corpus, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.npz").write_text("not arrays")
    with pytest.raises(DataError, match="ask-teacher"):
        Posteriors.load(tmp_path / "text.npz")
    with pytest.raises(DataError, match="knows marvin"):
        asked.teach(corpus, ("marvin", "other"))
    elsewhere = replace(asked, keys={"recordings": ["x"] * len(asked.keys["recordings"])})
    with pytest.raises(DataError, match="of others"):
        elsewhere.teach(corpus, small_recipe().classes)
    with pytest.raises(DataError, match="--classes"):
        ask_about(lambda samples: np.zeros(35, np.float32), CLASSES, data)


def test_ask_teacher_writes_a_file_that_train_takes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posteriors_module, "tflite", lambda path: hears_tones)
    out = tmp_path / "posteriors.npz"
    run = CliRunner().invoke(
        main, ["data", "ask-teacher", "any.tflite", "--data", str(data), "-o", str(out)]
    )
    assert run.exit_code == 0, run.output
    assert "120 recordings" in run.output
    assert (
        taught_by(
            [out],
            small_recipe(),
            Corpus.from_folders(data, None, FeatureSettings(), data / "cache", jobs=1),
        )[1]
        is None
    )


def test_what_is_no_tflite_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs the extra teacher")
    (tmp_path / "model.tflite").write_bytes(b"no model")
    with pytest.raises(DataError, match="TensorFlow Lite"):
        posteriors_module.tflite(tmp_path / "model.tflite")
