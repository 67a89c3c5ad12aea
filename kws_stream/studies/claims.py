"""The claims of arXiv:2605.15216, one by one: what shows each, what it gave, and a verdict.

Each claim is a function of a `Trial`. Verdicts are by rules that stand beside them: "shown" where
the whole interval keeps the claim, "shown in part", "contradicted", or "not run".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kws_stream import packs, power, spice
from kws_stream.bmru.chip import ChipSettings, simulate
from kws_stream.bmru.elements import elements
from kws_stream.brief import brief
from kws_stream.errors import MissingExtraError
from kws_stream.packs import Pack
from kws_stream.parameters import FloatArray
from kws_stream.studies.accumulation import BASELINE_NAMES, SHARE, accumulation
from kws_stream.studies.baselines import load_baselines
from kws_stream.studies.clips import Utterances
from kws_stream.studies.montecarlo import montecarlo
from kws_stream.studies.noise import CLAIM, noise
from kws_stream.studies.scaling import scaling
from kws_stream.studies.settling import settling
from kws_stream.workers import Progress, Workers

MODELS = ("yes-4", "yes-8", "yes-16")
"""The packaged networks of the published task: one word against others and silence."""

ASKED = (*MODELS, "commands-12")  # how well they suppress errors
SCALED_CLIPS = 60  # at most; these are large
SCALED = ("commands-12-small", "commands-12", "commands-12-large")  # beside MODELS, for the scaling
CORE_NW, CHIP_NW = 100.0, 1000.0  # the published core, and the chip with its overheads
LOST = 0.01  # an accuracy lost of which a claim of robustness holds
GOOD = 0.95  # share of the chips
FIDELITY, IN_PART = 0.99, 0.95  # of the state bits
UNITS_NA = (1.0, 2.0, 4.0)
WHITE_NA = (0.01, 0.023, 0.1)
SMALL_SHARE = 1e-6  # of white noise, beside SHARE
MISMATCH_PERCENT = 10.0
SETTLED_S = 1e-3  # as slow as candidate nodes may be: a tenth of a frame
SPICE_S, SPICE_CLIPS = 1.0, 4  # of each clip; half of them have the word, the others another
RESAMPLES = 1000  # of the bootstrap


@dataclass(frozen=True)
class Claim:
    """claim: in words. command: what shows it in full. gave: figures; interval: theirs, at 95 %.

    verdict: "shown", "shown in part", "contradicted" or "not run". studies: by name, those that
    `figures.figure_of` draws.
    """

    claim: str
    command: str
    gave: str
    interval: str
    verdict: str
    studies: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)

    __repr__ = brief

    def as_dict(self) -> dict[str, str]:
        return {name: value for name, value in vars(self).items() if name != "studies"}


@dataclass(frozen=True, eq=False)
class Trial:
    """heard: packs and utterances by the name of the model."""

    heard: Mapping[str, tuple[Pack, Utterances]]
    chips: int
    draws: int
    seed: int
    workers: Workers

    __repr__ = brief

    def command(self, study: str, clips: int | None = None) -> str:
        """The `kws-stream chip` command that repeats a study on as many clips as `MODELS` hear."""
        asked = f"--clips {clips or len(self.heard[MODELS[0]][1])}"
        return f"kws-stream chip {study} {asked}" + (f" --seed {self.seed}" if self.seed else "")


def one_to_one(trial: Trial) -> Claim:
    """In part where a weight asks for a mirror that cannot be drawn."""
    rows, narrow = [], False
    for name in packs.list_packs():
        parameters = packs.load(name).network.parameters
        found = elements(parameters)
        mirrors = [one for one in found if one.width_um is not None]
        share = sum(one.too_narrow for one in mirrors) / max(len(mirrors), 1)
        narrow |= share > 0
        rows.append(f"{name} {parameters.parameter_count} in {len(found)} ({100 * share:.0f} %)")
    return Claim(
        "Every parameter is one circuit element",
        "kws-stream chip-info MODEL --currents",
        "parameters in elements, those of 0 needing none (mirrors too narrow to draw): "
        + ", ".join(rows),
        "counted",
        "shown in part" if narrow else "shown",
    )


def suppression(trial: Trial) -> Claim:
    """Of the typical circuit, at the unit currents of `UNITS_NA`."""
    rows, drawn = [], {}
    for name in ASKED:
        pack, heard = trial.heard[name]
        study = noise(
            pack, heard, ChipSettings.typical(), "circuit", UNITS_NA, workers=trial.workers
        )
        drawn[f"circuit-{name}"] = study
        rows += [(name, f"{row.level:g} nA", row.factor, row.interval) for row in study.overall]
    return _factors(
        f"States are at least {CLAIM:g} times nearer to the ideal ones than candidates",
        trial.command("noise -m MODEL --source circuit"),
        rows,
        drawn,
    )


def white_noise(trial: Trial) -> Claim:
    """The hard form: noise that is new in every frame."""
    rows, drawn = [], {}
    for name in ASKED:
        pack, heard = trial.heard[name]
        settings = ChipSettings()
        how: dict[str, Any] = {"draws": trial.draws, "seed": trial.seed, "workers": trial.workers}
        study = noise(pack, heard, settings, "noise", WHITE_NA, **how)
        drawn[f"noise-{name}"] = study
        for row in study.overall:
            rows.append((name, f"{1000 * row.level:g} pA", row.factor, row.interval))
    levels = " ".join(f"--level {level:g}" for level in WHITE_NA)
    return _factors(
        f"Discrete states stop noise: the same {CLAIM:g}, of white noise on every candidate",
        trial.command(f"noise -m MODEL --source noise {levels} --draws {trial.draws}"),
        rows,
        drawn,
    )


def _factors(
    claim: str,
    command: str,
    rows: list[tuple[str, str, float | None, tuple[float, float | None] | None]],
    drawn: Mapping[str, object],
) -> Claim:
    kept = [interval is None or interval[0] >= CLAIM for *_, interval in rows]
    gave, intervals = [], []
    for name, level, factor, interval in rows:
        gave.append(
            f"{name} at {level} " + ("no state differs" if factor is None else f"{factor:.3g}")
        )
        low, high = interval or (None, None)
        ends = (f"{low:.3g}" if low else "any", f"{high:.3g}" if high else "any")
        intervals.append(" to ".join(ends))
    verdict = "shown" if all(kept) else "shown in part" if any(kept) else "contradicted"
    return Claim(claim, command, ", ".join(gave), ", ".join(intervals), verdict, drawn)


def accumulates(trial: Trial) -> Claim:
    """Shown where the states of `yes-4` have less error than both baselines' at `SHARE`, and none
    at `SMALL_SHARE`; in part where one of these holds. The baselines hear the front end of `yes-4`.
    """
    pack, heard = trial.heard["yes-4"]
    gave, drawn, better, none = [], {}, False, False
    for share in (SHARE, SMALL_SHARE):
        settings = ChipSettings()
        study = accumulation(pack, heard, load_baselines(), heard, settings, share, seed=trial.seed)
        errors = {one.network: one.by_block for one in study.networks}
        ours = errors.pop(f"BMRU ({pack.name})")
        if share == SHARE:
            drawn["accumulation"] = study
            better = max(ours) < min(map(max, errors.values()))
        else:
            none = max(ours) == 0
        rows = {pack.name: ours} | {name: errors[name] for name in BASELINE_NAMES.values()}
        told = (
            f"{name} " + " then ".join(f"{100 * error:.2g} %" for error in by_block)
            for name, by_block in rows.items()
        )
        gave.append(f"noise of {100 * share:g} %: " + ", ".join(told))
    return Claim(
        "Noise does not accumulate in discrete states: state errors by block, beside networks of "
        "equal size with continuous states",
        trial.command(f"accumulation --share {SHARE:g}") + f", and --share {SMALL_SHARE:g}",
        "; ".join(gave),
        "one draw",
        "shown" if better and none else "shown in part" if better or none else "contradicted",
        drawn,
    )


def scales(trial: Trial) -> Claim:
    """In part where counting gives the exponents 1 and 2 and trained networks do not."""
    few = len(trial.heard[SCALED[0]][1])
    names = (*MODELS, *SCALED)
    study = scaling(
        [(pack, heard.first(few)) for pack, heard in map(trial.heard.__getitem__, names)]
    )
    gave, intervals, kept = [], [], {}
    for part, wanted in (("cells", 1.0), ("feedforward", 2.0)):
        for kind in ("counted", "trained"):
            found = study.exponents[f"{part}_nw_{kind}"]
            assert found is not None
            low, high = found.interval or (found.value, found.value)
            gave.append(f"{part} d^{found.value:.2f} {kind}")
            intervals.append(f"{low:.2f} to {high:.2f}")
            kept[part, kind] = low - 0.01 <= wanted <= high + 0.01
    counted = all(keeps for (_, kind), keeps in kept.items() if kind == "counted")
    verdict = "shown" if all(kept.values()) else "shown in part" if counted else "contradicted"
    return Claim(
        "Power of cells grows linearly, of the feedforward part quadratically with d",
        trial.command("scaling -m " + " --also ".join(names), few),
        ", ".join(gave),
        ", ".join(intervals),
        verdict,
        {"scaling": study},
    )


def hundred_nanowatts(trial: Trial) -> Claim:
    """Shown where the core of one of the models has an interval below."""
    gave, intervals, kept = [], [], []
    for name in MODELS:
        core = _powers(*trial.heard[name])[:, 0]
        low, high = _interval(core, trial.seed)
        gave.append(f"{name} {core.mean():.1f} nW")
        intervals.append(f"{low:.1f} to {high:.1f}")
        kept.append(high <= CORE_NW)
    return Claim(
        f"A core that spots a word takes about {CORE_NW:g} nW, estimated at 1 nA",
        "kws-stream power MODEL",
        ", ".join(gave),
        ", ".join(intervals),
        "shown" if kept[0] else "shown in part" if any(kept) else "contradicted",
    )


def submicrowatt(trial: Trial) -> Claim:
    """In part at best: of bias generation, registers and routing no split is published."""
    gave, intervals, kept = [], [], []
    for name in MODELS:
        total = _powers(*trial.heard[name]).sum(axis=1)
        low, high = _interval(total, trial.seed)
        gave.append(f"{name} {total.mean():.0f} nW, which leaves {CHIP_NW - total.mean():.0f}")
        intervals.append(f"{low:.0f} to {high:.0f}")
        kept.append(high < CHIP_NW)
    return Claim(
        "The chip stays below 1 uW with bias generation, registers and routing",
        "kws-stream power MODEL --full",
        "core and classifier, the rest being for the overheads: " + ", ".join(gave),
        ", ".join(intervals),
        "shown in part" if any(kept) else "contradicted",
    )


def clockless(trial: Trial) -> Claim:
    """Shown where no model loses more than `LOST` at `SETTLED_S`."""
    gave, kept, drawn = [], [], {}
    for name in MODELS:
        pack, heard = trial.heard[name]
        times = (1e-4, SETTLED_S, 5e-3)
        study = settling(pack, heard, ChipSettings(), times, workers=trial.workers)
        drawn[f"settling-{name}"] = study
        at = study.rows[1]
        kept.append(study.exact - at.accuracy <= LOST)
        rows = (
            f"{1000 * row.settling_s:g} ms {100 * row.accuracy:.1f} % "
            f"({100 * row.late:.1f} % of switches late)"
            for row in study.rows
        )
        gave.append(f"{name} exact {100 * study.exact:.1f} %, " + ", ".join(rows))
    return Claim(
        "The circuit settles without a clock: accuracy by time constant of the candidate nodes",
        trial.command("settling -m MODEL"),
        "; ".join(gave),
        "one chip",
        "shown" if all(kept) else "shown in part" if any(kept) else "contradicted",
        drawn,
    )


def fidelity(trial: Trial) -> Claim:
    """State bits of the typical chip as in the exact network."""
    gave, intervals, lows = [], [], []
    for name in MODELS:
        pack, heard = trial.heard[name]
        settings = ChipSettings.typical(frame_s=heard.frame_s)
        agree = []
        for clip in range(len(heard)):
            frames = heard.frames_of(clip)
            ideal, real = pack.network.run(frames), simulate(pack.network, frames, settings)
            same = [(a == b).ravel() for a, b in zip(ideal.bits, real.bits, strict=True)]
            agree.append(np.concatenate(same).mean())
        low, high = _interval(np.array(agree), trial.seed)
        gave.append(f"{name} {100 * np.mean(agree):.2f} %")
        intervals.append(f"{100 * low:.2f} to {100 * high:.2f}")
        lows.append(low)
    return Claim(
        "The circuit does what the software says: state bits of the typical published circuit",
        trial.command("noise -m MODEL --source circuit --level 1"),
        ", ".join(gave),
        ", ".join(intervals),
        _fidelity(min(lows)),
    )


def _fidelity(low: float) -> str:
    """The verdict of an interval's low end."""
    if low >= FIDELITY:
        return "shown"
    return "shown in part" if low >= IN_PART else "contradicted"


def transistors(trial: Trial) -> Claim:
    """The same with transistors of an open process; not run without ngspice and its models."""
    claim = "The same, of a whole yes-4 in transistors of GF180MCU, a second of each clip"
    command = f"kws-stream spice network -m yes-4 --start 0 --seconds {SPICE_S:g} CLIP"
    try:
        simulator = spice.find()
    except MissingExtraError as error:
        return Claim(claim, command, str(error), "", "not run")
    pack, heard = trial.heard["yes-4"]
    word = heard.labels == pack.classes.index("yes")
    each = SPICE_CLIPS // 2
    noise = np.array([name.startswith("_") for name in heard.names] or [False] * len(heard))
    clips = [*np.flatnonzero(word)[:each], *np.flatnonzero(~word & ~noise)[:each]]
    agree, bits, told = [], 0, []
    frames = round(SPICE_S / heard.frame_s)
    for clip in clips:
        trace = pack.network.run(heard.frames_of(int(clip))[:frames])
        found = spice.network(simulator, pack.network, trace, heard.frame_s).agreement
        agree.append(found.bits_equal)
        bits += found.cells * found.frames
        name = heard.names[clip] if heard.names else f"clip {clip + 1}"
        told.append(f"{name} {100 * found.bits_equal:.1f} %")
    low, high = _interval(np.array(agree), trial.seed)
    return Claim(
        claim,
        command,
        f"{100 * np.mean(agree):.2f} % of {bits} state bits of {len(clips)} clips: "
        + ", ".join(told),
        f"{100 * low:.2f} to {100 * high:.2f}",
        _fidelity(low),
    )


def robust(trial: Trial) -> Claim:
    """Shown where `GOOD` of a foundry's chips lose at most `LOST`, for each model."""
    gave, intervals, ends, drawn = [], [], [], {}
    how: dict[str, Any] = {"seed": trial.seed, "workers": trial.workers}
    for name in MODELS:
        pack, heard = trial.heard[name]
        study = montecarlo(pack, heard, ChipSettings.foundry(), trial.chips, **how)
        drawn[f"montecarlo-{name}"] = study
        paper = ChipSettings(mismatch_percent=MISMATCH_PERCENT)
        ours = montecarlo(pack, heard, paper, trial.chips, **how)
        share, (low, high) = study.share_above(round(study.exact_accuracy - LOST, 6))
        lost = [100 * (one.exact_accuracy - one.accuracies.mean()) for one in (study, ours)]
        gave.append(
            f"{name} loses {lost[0]:.2f} points as of a foundry, {lost[1]:.2f} at "
            f"{MISMATCH_PERCENT:g} %; {100 * share:.0f} % of a foundry's chips lose at most a point"
        )
        intervals.append(f"{100 * low:.0f} to {100 * high:.0f} %")
        ends.append((low, high))
    shown = all(low >= GOOD for low, _ in ends)
    possible = any(high >= GOOD for _, high in ends)
    return Claim(
        "Mismatch costs little accuracy, without calibration",
        trial.command(f"montecarlo -m MODEL --chips {trial.chips}")
        + f", and --mismatch {MISMATCH_PERCENT:g}",
        "; ".join(gave),
        ", ".join(intervals),
        "shown" if shown else "shown in part" if possible else "contradicted",
        drawn,
    )


CLAIMS: tuple[Callable[[Trial], Claim], ...] = (
    one_to_one,
    suppression,
    white_noise,
    accumulates,
    scales,
    hundred_nanowatts,
    submicrowatt,
    clockless,
    fidelity,
    transistors,
    robust,
)


def claims(trial: Trial, progress: Progress | None = None) -> list[Claim]:
    """Every claim, in order; `trial.heard` holds `MODELS` and `SCALED`."""
    found = []
    for done, claim in enumerate(CLAIMS):
        if progress is not None:
            progress(done, len(CLAIMS))
        found.append(claim(trial))
    return found


def as_dict(found: list[Claim], trial: Trial) -> dict[str, Any]:
    """For JSON: what was heard, and the claims."""
    _, heard = trial.heard[MODELS[0]]
    return {
        "study": "claims",
        "models": {name: pack.manifest["version"] for name, (pack, _) in trial.heard.items()},
        "data": heard.source,
        "clips": len(heard),
        "clips_of_twelve_words": len(trial.heard[SCALED[0]][1]),
        "chips": trial.chips,
        "draws": trial.draws,
        "seed": trial.seed,
        "notes": list(heard.notes),
        "claims": [one.as_dict() for one in found],
    }


def _powers(pack: Pack, heard: Utterances) -> FloatArray:
    """Core and classifier of every clip, (n, 2) in nW at 1 nA."""
    rows = []
    for clip in range(len(heard)):
        trace = pack.network.run(heard.frames_of(clip))
        one = power.estimate(pack.network, trace, frame_s=heard.frame_s)
        rows.append((one.core_nw, one.classifier_nw))
    return np.array(rows)


def _interval(values: FloatArray, seed: int) -> tuple[float, float]:
    """Of the mean: a bootstrap over clips."""
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[picks].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)
