"""Log-mel pictures of clips: read, mapped to envelopes, heard beside recordings."""

import io
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the extra train (PyTorch)")
Image = pytest.importorskip("PIL.Image", reason="needs the extra train (pillow)")

from kws_stream import packs  # noqa: E402
from kws_stream.cli import main  # noqa: E402
from kws_stream.errors import DataError  # noqa: E402
from kws_stream.features import FeatureSettings  # noqa: E402
from kws_stream.training import pictures as pictures_module  # noqa: E402
from kws_stream.training.corpus import Corpus, pairs_of  # noqa: E402
from kws_stream.training.pictures import Pictures, fit_map, same_recording  # noqa: E402
from kws_stream.training.sampling import Sampler  # noqa: E402
from kws_stream.training.validation import validation_clips  # noqa: E402
from tests.recipe_factory import small_recipe  # noqa: E402


def shown(envelopes: np.ndarray) -> np.ndarray:
    """Pictures (n, 98, 40) of envelopes (n, 100, 16): their logarithm, channels spread to bands."""
    rows = np.clip(np.arange(98) + 1, 0, 99)
    columns = np.arange(40) * 16 // 40
    logarithm = np.log(envelopes[:, rows][:, :, columns] + 1e-6)
    return np.clip(18 * (logarithm + 14), 0, 255).astype(np.uint8)


def save(folder: Path, word: str, name: str, pixels: np.ndarray) -> None:
    (folder / word).mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / word / f"{name}.png")


@pytest.fixture(scope="module")
def pictures(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of every clip of the corpus, and twelve of speakers and a word that it does not have."""
    folder = tmp_path_factory.mktemp("pictures")
    clips = corpus.clips["speech_commands"]
    for word, name, pixels in zip(clips.words, clips.names, shown(clips.envelopes), strict=True):
        save(folder, str(word), str(name), pixels)
    for speaker in range(60):
        save(folder, "on", f"9{speaker:07x}_nohash_0", shown(clips.envelopes[:1])[0])
    return folder


@pytest.fixture(scope="module", autouse=True)
def _quick_map() -> Iterator[None]:
    """A map of few steps: what is heard does not depend on how good it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures_module, "fit_map", partial(fit_map, steps=20))
        yield


@pytest.fixture(scope="module")
def with_pictures(data: Path, pictures: Path) -> Corpus:
    return Corpus.from_folders(data, None, FeatureSettings(), data / "cache", 1, pictures)


def test_a_folder_and_an_archive_of_it_are_the_same_pictures(
    pictures: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "pictures.tar.xz"
    with tarfile.open(archive, "w:xz") as file:
        file.add(pictures, "some/folder")
    one, other = Pictures.load(pictures), Pictures.load(archive)
    assert len(one.words) == 180
    assert np.array_equal(one.pixels, other.pixels)
    assert one.keys == other.keys


def test_what_is_no_picture_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found none"):
        Pictures.load(tmp_path)
    with pytest.raises(DataError, match="need a folder of pictures, or a tar archive"):
        Pictures.load(tmp_path / "missing.tar.xz")
    (tmp_path / "text.tar").write_text("no archive")
    with pytest.raises(DataError, match="need a folder of pictures, or a tar archive"):
        Pictures.load(tmp_path / "text.tar")
    save(tmp_path, "yes", "a_nohash_0", np.zeros((40, 98), np.uint8))
    with pytest.raises(DataError, match=r"98 frames .* by 40 bands .*, got 40 by 98"):
        Pictures.load(tmp_path)
    (tmp_path / "yes" / "a_nohash_0.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(DataError, match="need a picture, got what cannot be read"):
        Pictures.load(tmp_path)


def test_a_cut_archive_is_refused(pictures: Path, tmp_path: Path) -> None:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:xz") as file:
        file.add(pictures, "pictures")
    (tmp_path / "cut.tar.xz").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    with pytest.raises(DataError, match="tar archive"):
        Pictures.load(tmp_path / "cut.tar.xz")


def test_the_map_finds_the_envelopes_and_the_clips_that_are_of_other_recordings() -> None:
    rng = np.random.default_rng(0)
    steps = rng.normal(0, 0.4, (60, 100, 16)).cumsum(1).clip(-4, 4)
    envelopes = np.exp(steps - 5).astype(np.float32)
    pixels = shown(envelopes)
    pixels[:9] = pixels[9:18]  # these show other clips
    fitted = fit_map(pixels, envelopes, steps=200)
    errors = fitted.errors(pixels, envelopes)
    assert same_recording(errors).tolist() == [False] * 9 + [True] * 51
    assert errors[9:].mean() < errors[:9].mean() / 2
    found = np.log(fitted.envelopes(pixels[9:]))
    assert np.abs(found - (steps[9:] - 5)).mean() == pytest.approx(errors[9:].mean(), rel=0.05)
    again = [fit_map(pixels, envelopes, steps=4).envelopes(pixels) for _ in range(2)]
    assert np.array_equal(*again)


def test_validation_has_no_picture_of_a_clip_that_it_hears_and_training_has(
    with_pictures: Corpus,
) -> None:
    recordings, shown_clips = (
        with_pictures.clips[name] for name in ("speech_commands", "pictures")
    )
    both = np.isin(shown_clips.keys, recordings.keys)
    assert set(shown_clips.splits[both]) == {"training"}
    assert set(shown_clips.words[~both]) == {"on"}
    assert set(shown_clips.splits) == {"training", "validation", "testing"}
    held_out = validation_clips(with_pictures, small_recipe(), None)
    assert set(held_out.words[held_out.sources == "pictures"]) == {"on"}
    assert len(held_out.of("speech_commands")) == (recordings.splits == "validation").sum()


def test_every_word_is_heard_from_pictures_and_none_of_held_out_speakers(
    with_pictures: Corpus,
) -> None:
    recipe = small_recipe(shares={"noise": 0.0, "running_speech": 0.0})
    sampler = Sampler(with_pictures, recipe)
    drawn, labels, _ = sampler.draw(3000, torch.Generator().manual_seed(0))
    heard = [e.tobytes() for e in drawn.numpy()]
    held_out: set[bytes] = set()
    for clips in with_pictures.clips.values():
        held_out |= {e.tobytes() for e in clips.envelopes[clips.splits != "training"]}
    training = with_pictures.clips["pictures"]
    made = {e.tobytes() for e in training.envelopes[training.splits == "training"]}
    assert not held_out & (set(heard) - made)
    from_pictures = np.array([e in made for e in heard])
    on = recipe.classes.index("on")
    assert from_pictures[labels.numpy() == on].all()
    for label in set(labels.tolist()) - {on}:
        assert 0.3 < from_pictures[labels.numpy() == label].mean() < 0.7


def test_each_word_without_a_keyword_is_heard_as_often_as_any_other(
    with_pictures: Corpus,
) -> None:
    shares = {"noise": 0.0, "running_speech": 0.0, "task_words": 0.0, "speech_commands": 3.0}
    groups = Sampler(with_pictures, small_recipe(task="yes", shares=shares))._groups
    # cat from recordings and from pictures, on from pictures alone
    of_words = sorted(g.share for g in groups if g.label == 1 and g.share)
    assert of_words == pytest.approx([0.75, 0.75, 1.5])


def test_too_few_pictures_to_fit_a_map_are_refused(
    corpus: Corpus, data: Path, tmp_path: Path
) -> None:
    save(tmp_path, "yes", "00000001_nohash_0", np.zeros((98, 40), np.uint8))
    with pytest.raises(DataError, match="to fit a map from pictures to envelopes, found"):
        Corpus.from_folders(data, None, FeatureSettings(), data / "cache", 1, tmp_path)


def test_a_fitted_map_is_kept_and_fitted_anew_for_another_filterbank(
    with_pictures: Corpus, data: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(pictures_module, "fit_map", never)
    again = Corpus.from_folders(data, None, FeatureSettings(), data / "cache", 1, pictures)
    assert np.array_equal(
        again.clips["pictures"].envelopes, with_pictures.clips["pictures"].envelopes
    )
    with pytest.raises(AssertionError, match="fitted again"):
        Corpus.from_folders(data, None, FeatureSettings(lowpass_s=0.02), data / "c", 1, pictures)


def test_the_commands_fit_train_and_teach_on_pictures(
    data: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text('name = "tiny"\ntask = "yes"\nsteps = 2\nsequences = 4\n')
    words = ["tiny.toml", "--data", str(data), "--pictures", str(pictures), "--threads", "1"]
    fitted = CliRunner().invoke(main, ["data", "fit-pictures", *words])
    assert fitted.exit_code == 0, fitted.output
    assert "180 pictures" in fitted.stdout
    assert "are the same recording" in fitted.stdout
    assert len(list(Path("runs/cache").glob("pictures-*.safetensors"))) == 1
    done = CliRunner().invoke(main, ["train", *words, "--output", "pack"])
    assert done.exit_code == 0, done.output
    sources = [source["name"] for source in packs.load("pack").manifest["data"]]
    assert any("pictures" in name for name in sources)
    taught = CliRunner().invoke(main, ["teach", *words, "--output", "teacher", "--steps", "2"])
    assert taught.exit_code == 0, taught.output
    refused = CliRunner().invoke(
        main, ["train", "--wake-phrase", "hey you", "--pictures", "x", "--output", "y"]
    )
    assert refused.exit_code == 2
    assert "--pictures is not for --wake-phrase" in refused.stderr


def test_pairs_are_of_the_same_clip(with_pictures: Corpus, pictures: Path) -> None:
    paired, envelopes = pairs_of(
        Pictures.load(pictures), with_pictures.clips["speech_commands"], "training"
    )
    assert np.array_equal(paired.pixels, shown(envelopes))
