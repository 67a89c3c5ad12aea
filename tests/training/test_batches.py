"""What training hears: clips, splits, augmentation, noise."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train (PyTorch)")


from kws_stream.evaluation.speech_commands import HALVES, half_of, split_of  # noqa: E402
from kws_stream.features import FeatureSettings, FrontEnd, build_bank  # noqa: E402
from kws_stream.features.conditioning import Conditioning  # noqa: E402
from kws_stream.training.augment import add_noise, change_clips, condition, mask, quieten  # noqa: E402
from kws_stream.training.batches import Batches  # noqa: E402
from kws_stream.training.corpus import Corpus  # noqa: E402
from kws_stream.training.recipe import Recipe  # noqa: E402
from kws_stream.training.sampling import Sampler  # noqa: E402
from kws_stream.training.validation import validation_clips  # noqa: E402
from tests.recipe_factory import small_recipe  # noqa: E402


@pytest.mark.parametrize("hops", [1, 2])
def test_training_sees_the_features_of_the_front_end(hops: int) -> None:
    settings = FeatureSettings(hops_per_frame=hops)
    rng = np.random.default_rng(1)
    samples = (rng.standard_normal(160 * 50) * rng.uniform(0, 0.3, 8000)).astype(np.float32)
    bank = build_bank(settings)
    state = bank.start()
    envelopes = []
    padded = np.concatenate([[0.0], samples])  # the sample before the first
    for start in range(0, len(samples), bank.frame_samples):
        state = bank.step(padded[start : start + bank.frame_samples + 1], state)
        envelopes.append(state.envelope)
    # training keeps an envelope a hop, and reads the last of each frame
    batch = torch.from_numpy(np.repeat(envelopes, hops, axis=0))[None]
    conditioned = condition(batch, settings)[:, 0].numpy()
    assert np.array_equal(conditioned, FrontEnd(settings).process(samples))


@pytest.mark.parametrize("hops", [1, 3])
def test_every_sequence_of_a_batch_is_conditioned_by_itself_at_the_end_of_each_frame(
    hops: int,
) -> None:
    """Envelopes that differ from hop to hop and from sequence to sequence, some with silence."""
    settings = FeatureSettings(hops_per_frame=hops)
    rng = np.random.default_rng(2)
    envelopes = 10 ** rng.uniform(-4, 0, (4, 30, 16))
    envelopes[1, :9] = 0.0  # a start in silence
    envelopes[2, 10:20] = 0.0
    envelopes[3, :, 5] = 0.0  # a channel that never hears anything
    features = condition(torch.from_numpy(envelopes), settings).numpy()
    assert features.shape == (30 // hops, 4, settings.n_features)
    given = replace(settings, start_level=settings.start_gain * settings.start_level)
    stage = Conditioning(given, 16)
    for index, sequence in enumerate(envelopes):
        state, out = stage.start(), np.empty(settings.n_features)
        for frame, envelope in enumerate(sequence[hops - 1 :: hops]):
            state = stage.step(envelope, state, out)
            # rounding to the grid may go the other way
            assert np.abs(features[frame, index] - out).max() <= settings.step, (index, frame)
            assert (features[frame, index] == out).mean() > 0.9


def test_clips_are_padded_and_keep_their_official_split(corpus: Corpus) -> None:
    clips = corpus.clips["speech_commands"]
    assert clips.envelopes.shape == (120, 100, 16)
    assert set(clips.splits) == {"training", "validation", "testing"}
    assert clips.words[0] == "cat"
    assert clips.splits[0] == split_of("30000000_nohash_0.wav")
    assert (clips.envelopes[:, :15].max(axis=(1, 2)) < 1e-6).all()  # 0.2 s before the sound


def test_sampler_draws_no_clip_of_validation_and_testing_speakers(corpus: Corpus) -> None:
    clips = corpus.clips["speech_commands"]
    training = {e.tobytes() for e in clips.envelopes[clips.splits == "training"]}
    sampler = Sampler(corpus, small_recipe(shares={"noise": 0.0, "running_speech": 0.0}))
    drawn, labels, _ = sampler.draw(300, torch.Generator().manual_seed(0))
    assert {e.tobytes() for e in drawn.numpy()} <= training
    assert set(labels.tolist()) == {0, 1, 2, 10}  # yes, no, up, unknown


def test_a_limited_word_is_heard_that_often_and_a_word_left_out_never(corpus: Corpus) -> None:
    clips = corpus.clips["speech_commands"]
    word_of = {e.tobytes(): w for e, w in zip(clips.envelopes, clips.words, strict=True)}
    limits = {"yes": 3, "cat": 0}
    recipe = small_recipe(limits=limits, shares={"noise": 0.0, "running_speech": 0.0})
    drawn, *_ = Sampler(corpus, recipe).draw(300, torch.Generator().manual_seed(0))
    heard = {e.tobytes() for e in drawn.numpy()}
    counts = {word: sum(word_of[e] == word for e in heard) for word in ("yes", "no", "cat")}
    assert counts["yes"] == 3
    assert counts["no"] > 10
    assert counts["cat"] == 0


@pytest.mark.parametrize("task", ["yes", "v2-12"])
def test_class_shares_are_how_often_each_class_is_drawn(corpus: Corpus, task: str) -> None:
    recipe = Recipe(name="t", task=task, shares={"running_speech": 2.0})
    sampler = Sampler(corpus, recipe)
    generator = torch.Generator().manual_seed(0)
    drawn = sampler.draw(20000, generator)[1]
    behind = sampler.background(40, 2, generator)[1].flatten()
    for share, labels in ((0.0, drawn), (1.0, behind)):
        counts = torch.bincount(labels, minlength=len(recipe.classes)) / len(labels)
        assert (sampler.class_shares(share) - counts).abs().max() < 0.01
    both = sampler.class_shares(0.25)
    expected = 0.75 * sampler.class_shares(0.0) + 0.25 * sampler.class_shares(1.0)
    assert torch.allclose(both, expected)


def test_validation_clips_are_those_of_validation_speakers(corpus: Corpus) -> None:
    clips = corpus.clips["speech_commands"]
    held_out = clips.splits == "validation"
    everyone = validation_clips(corpus, small_recipe(), None)
    assert len(everyone) == held_out.sum()
    everyone = validation_clips(corpus, small_recipe(task="yes"), None)
    assert len(everyone) == (held_out & (clips.words != "cat")).sum()


def test_one_half_of_the_validation_speakers_chooses_and_the_other_is_never_heard(
    corpus: Corpus,
) -> None:
    clips = corpus.clips["speech_commands"]
    halves = np.array([half_of(name) for name in clips.names])
    for half in HALVES:
        expected = (clips.splits == "validation") & (halves == half)
        found = validation_clips(corpus, small_recipe(), half)
        assert {e.tobytes() for e in found.clips.numpy()} == {
            e.tobytes() for e in clips.envelopes[expected]
        }
    chosen = validation_clips(corpus, small_recipe())
    assert torch.equal(chosen.clips, validation_clips(corpus, small_recipe(), "choosing").clips)


def test_all_words_are_trained_on_words_and_silence_and_validated_on_words(corpus: Corpus) -> None:
    recipe = small_recipe(task="v2-35")
    words = {recipe.classes.index(word) for word in ("yes", "no", "up", "cat")}
    sampler = Sampler(corpus, recipe)
    drawn, labels, _ = sampler.draw(300, torch.Generator().manual_seed(0))
    silence = recipe.classes.index("silence")
    assert set(labels.tolist()) == {*words, silence}
    clips = corpus.clips["speech_commands"]
    training = {e.tobytes() for e in clips.envelopes[clips.splits == "training"]}
    assert {e.tobytes() for e in drawn[labels != silence].numpy()} <= training
    assert set(sampler.background(2, 2, torch.Generator())[1].flatten().tolist()) == {silence}
    labels = validation_clips(corpus, recipe, None).labels
    assert len(labels) == (clips.splits == "validation").sum()
    assert set(labels.tolist()) == words


def test_augmentation_at_strength_zero_changes_nothing(corpus: Corpus) -> None:
    clips = torch.from_numpy(corpus.clips["speech_commands"].envelopes[:4])
    generator = torch.Generator().manual_seed(0)
    torch.testing.assert_close(change_clips(clips, 0.0, generator), clips, rtol=1e-5, atol=1e-9)


def test_so_large_a_share_of_clips_is_soft_and_the_others_stay() -> None:
    clips = torch.rand(400, 6, 3, generator=torch.Generator().manual_seed(1)) + 0.1
    soft = quieten(clips, 0.25, torch.Generator().manual_seed(2))
    down_db = -20 * torch.log10(soft / clips).flatten(1)
    changed = (soft != clips).flatten(1).any(1)
    assert 60 < int(changed.sum()) < 140
    assert torch.equal(soft[~changed], clips[~changed])
    assert float(down_db[changed].min()) >= 9.99
    assert float(down_db[changed].max()) <= 35.01
    assert float((down_db.amax(1) - down_db.amin(1)).max()) < 1e-3  # one level a clip


def test_masks_silence_one_stretch_and_one_band_and_nothing_else() -> None:
    clips = torch.rand(200, 100, 16, generator=torch.Generator().manual_seed(1)) + 1
    quiet = clips.flatten(1).sort(1).values[:, 159, None, None]
    assert torch.equal(mask(clips, 0.0, torch.Generator().manual_seed(0)), clips)
    masked = mask(clips, 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(torch.where(masked == quiet, quiet, clips), masked)
    silent = masked == quiet
    hops, channels = silent.all(2).sum(1), silent.all(1).sum(1)
    assert sorted(set(hops.tolist())) == list(range(21))
    assert sorted(set(channels.tolist())) == list(range(4))
    expected = 100 * 16 - (100 - hops) * (16 - channels)
    by_itself = silent.sum((1, 2)) - expected  # the one value of a clip that is its quiet level
    assert set(by_itself.tolist()) == {0, 1}
    half = mask(clips, 0.5, torch.Generator().manual_seed(0)) != clips
    assert 60 < half.flatten(1).any(1).sum() < 140


def test_noise_only_adds_and_stays_under_its_loudest_level(corpus: Corpus) -> None:
    clips = torch.from_numpy(corpus.clips["speech_commands"].envelopes[:40])
    noise = torch.from_numpy(corpus.streams["noise"])
    noisy = add_noise(clips, noise, 1.0, torch.Generator().manual_seed(0))
    assert (noisy >= clips).all()
    added = (noisy.square() - clips.square()).mean((1, 2)).sqrt()
    peak = clips.flatten(1).quantile(0.98, dim=1)
    assert (added <= peak * 10 ** (-3 / 20) + 2e-3).all()
    assert (added > 0).all()


def test_every_sequence_has_a_noise_floor_of_its_own() -> None:
    """1e-5 to 1e-3 of full scale, evenly in its logarithm, give or take 30 % from hop to hop."""
    silence = torch.zeros(2000, 20, 4)
    floor = add_noise(silence, torch.ones(100, 4), 0.0, torch.Generator().manual_seed(0))
    level = floor.flatten(1).mean(1)
    assert 0.9e-5 < float(level.min()) < 1.2e-5
    assert 0.9e-3 < float(level.max()) < 1.1e-3
    logs = torch.log10(level)
    assert abs(float(logs.mean()) + 4) < 0.05
    assert abs(float(logs.std()) - 2 / 12**0.5) < 0.03
    ratio = floor / level[:, None, None]
    assert 0.6 < float(ratio.min()) < 0.75
    assert 1.25 < float(ratio.max()) < 1.45
    soft = torch.full((2000, 20, 4), 1e-3)
    heard = add_noise(soft, torch.ones(100, 4), 0.0, torch.Generator().manual_seed(0))
    # amplitudes add as root sum of squares
    torch.testing.assert_close(heard.square(), floor.square() + 1e-6, rtol=1e-4, atol=0)


def test_as_many_sequences_have_noise_as_the_recipe_wants(corpus: Corpus) -> None:
    def heard(noise: float) -> torch.Tensor:
        recipe = small_recipe(batch_size=40, augment=0.5, noise=noise)
        return Batches(corpus, recipe).draw(torch.Generator().manual_seed(0))[0]

    def noisy(noise: float) -> int:
        return int((heard(noise) != heard(0.0)).any(2).any(0).sum())

    assert noisy(2.9) == 40  # more than 0.7 * 0.5 * 2.857
    assert 7 <= noisy(1.0) <= 21
