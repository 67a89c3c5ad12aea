"""The worst errors: clips of which the model was surest of the wrong class."""

import base64

import numpy as np
from numpy.typing import NDArray

from kws_stream import features
from kws_stream.audio.encoding import encoded
from kws_stream.constants import HOP_SAMPLES
from kws_stream.detector import softmax
from kws_stream.evaluation.clips import decision_frames
from kws_stream.evaluation.metrics import task_class
from kws_stream.evaluation.reading import read_clip
from kws_stream.evaluation.report.curves import confidences
from kws_stream.evaluation.report.figures import ACCENT, BAD, INK, as_html, drawing
from kws_stream.evaluation.report.html import Section, paragraph, short_name, text
from kws_stream.evaluation.running import ClipRun
from kws_stream.features import FeatureSettings, centres_of
from kws_stream.pipeline import KeywordSpotter

WORST = 12
FLOOR_DB = -60.0  # below the loudest of the clip: black

Array = NDArray[np.float64]


def worst_errors(run: ClipRun, count: int = WORST) -> list[tuple[int, str, float]]:
    """Index, wrong class and confidence in it, of at most `count` clips, the surest first."""
    scores, classes = confidences(run), run.result.classes
    wrong = []
    for index, (clip, score) in enumerate(zip(run.clips, run.scores, strict=True)):
        called = task_class(score.called, run.result.task)
        if called != clip.label:
            wrong.append((index, called, float(scores[index, classes.index(called)])))
    return sorted(wrong, key=lambda error: -error[2])[:count]


def worst_section(run: ClipRun) -> Section:
    errors = worst_errors(run)
    if not errors:
        return Section("Worst errors", paragraph("No clip was called wrong."))
    shares = confidences(run)
    spotter = KeywordSpotter(run.pack, verify=False)
    cards = "".join(_card(run, spotter, *error, shares[error[0]]) for error in errors)
    return Section(
        "Worst errors",
        paragraph(
            "The clips of which the model was surest of a wrong class. Above: the energy in the "
            "channels of its front end over time.",
            ""
            if run.result.carry
            else "Below: its confidence, frame by frame, in the wrong class (solid) and the right "
            "one (dashed); the decision reads the shaded part.",
        )
        + f"<div class=cards>{cards}</div>",
    )


def _card(
    run: ClipRun,
    spotter: KeywordSpotter,
    index: int,
    called: str,
    confidence: float,
    shares: Array,
) -> str:
    clip = run.clips[index]
    pcm = read_clip(clip)
    label = f"{clip.label} called {called}: {short_name(clip.path)}, {clip.offset_s:g} s"
    right = shares[run.result.classes.index(clip.label)]
    place = f", from {clip.offset_s:.2f} s" if clip.offset_s else ""
    return (
        f"<div class=card><p><span class=said>{text(clip.word)}</span> called "
        f"<span class=called>{text(called)}</span></p><p><small>{100 * confidence:.1f} % sure; "
        f"of {text(clip.label)} {100 * right:.1f} %</small></p>"
        + _picture(run, spotter, pcm, clip.label, called, label)
        + f"<code>{text(short_name(clip.path))}{place}</code>"
        f"<audio controls preload=none src='data:audio/wav;base64,{_wav(pcm)}'></audio></div>"
    )


def _picture(
    run: ClipRun,
    spotter: KeywordSpotter,
    pcm: NDArray[np.float32],
    said: str,
    called: str,
    label: str,
) -> str:
    settings = FeatureSettings.from_dict(spotter.pack.features)
    levels = channel_levels(pcm, settings)
    ratios: dict[str, object] = {"height_ratios": [2.4, 1]}
    fresh = not run.result.carry  # of a carried clip the scores are those of another run
    with drawing(
        3.6, 2.5 if fresh else 1.9, 2 if fresh else 1, **({"gridspec_kw": ratios} if fresh else {})
    ) as (figure, axes):
        heat, below = axes if fresh else (axes, None)
        heat.imshow(
            levels.T,
            origin="lower",
            aspect="auto",
            extent=(0, 1, -0.5, settings.channels - 0.5),
            cmap="magma",
            vmin=FLOOR_DB,
            vmax=0,
            interpolation="nearest",
        )
        heat.grid(visible=False)
        centres = centres_of(settings)
        rows = sorted({0, settings.channels // 2, settings.channels - 1})
        heat.set_yticks(rows, [f"{centres[row] / 1000:.1f}" for row in rows])
        heat.set_ylabel("kHz")
        if below is not None:
            spotter.reset()
            (trace,) = spotter.trace(pcm)
            time_s = (np.arange(trace.frames) + 1) / trace.frames
            start, stop = decision_frames(spotter, trace.frames)
            below.axvspan(start / trace.frames, stop / trace.frames, color=INK, alpha=0.07, lw=0)
            confidence = np.array([softmax(row.tolist()) for row in trace.logits])
            for name, colour, style in ((called, BAD, "-"), (said, ACCENT, "--")):
                own = [task_class(c, run.result.task) == name for c in run.pack.classes]
                below.plot(time_s, confidence[:, own].sum(axis=1), color=colour, ls=style, lw=1.3)
            below.set_ylim(-0.04, 1.04)
            below.set_xlim(0, 1)
            below.set_yticks([0, 1])
        (heat if below is None else below).set_xlabel("s")
        return as_html(figure, label)


def channel_levels(pcm: NDArray[np.float32], settings: FeatureSettings) -> Array:
    """What the front end's channels held, (100, channels) in dB below the clip's loudest."""
    bank = features.build_bank(settings, hops_per_frame=1)
    samples = np.concatenate([[0.0], pcm.astype(np.float64)])  # the sample before the first
    state = bank.start()
    levels = np.empty((len(pcm) // HOP_SAMPLES, bank.channels))
    for row in range(len(levels)):
        state = bank.step(samples[row * HOP_SAMPLES : (row + 1) * HOP_SAMPLES + 1], state)
        levels[row] = state.envelope
    loudest = max(float(levels.max()), 1e-12)
    decibels: Array = 20 * np.log10(np.maximum(levels, 1e-12) / loudest)
    return decibels


def _wav(pcm: NDArray[np.float32]) -> str:
    return base64.b64encode(encoded(pcm, "WAV")).decode("ascii")
