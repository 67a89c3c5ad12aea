"""A training recipe: everything that makes a model, in one TOML file, checked before it is used."""

import math
import re
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from kws_stream.brief import changed
from kws_stream.detector import DetectorSettings
from kws_stream.errors import ParameterError, did_you_mean
from kws_stream.evaluation.speech_commands import TASKS, WORDS
from kws_stream.features import FeatureSettings
from kws_stream.old_names import OF_SETTINGS, renamed
from kws_stream.settings import (
    Bits,
    Count,
    NotNegative,
    Positive,
    Share,
    Whole,
    checked,
    set_checked,
)
from kws_stream.speech.phrase import OTHER, Phrase
from kws_stream.training.shares import known_shares

# a model's classes: those of its task; one of all words knows silence too, for streams
CLASSES = TASKS | {"v2-35": (*WORDS, "silence")}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
LEFT_OUT = ("synthetic", "pictures")  # kinds of clips that `without` may name
WAKE_PHRASE = "wake-phrase"  # the task of a phrase of one's own: its classes are it and the rest
EVENTS = "events"  # the task of any other sensor: its classes are a recipe's `events` and the rest


@dataclass(frozen=True)
class Recipe:
    """Network, training and detector settings of one model pack.

    Network: width m, cells d a block, blocks L. Weights have weight_bits (with sign) in steps of
    weight_step; biases, thresholds and state currents current_bits in steps of current_step.
    current_scale, a power of two, multiplies every current when the pack is written.

    Training: `steps` of `batch_size` sequences of `clips_per_sequence` clips each, one-cycle;
    AdamW at learning_rate, and Muon at muon_lr for the matrices of the blocks. eps goes
    from eps_start to 0 over the first eps_share of the steps (see `scan`). augment scales every
    random change of a clip, 1 being the ranges in `augment`; noise: how many times as often as that
    sequences have noise; masks: share of clips that are masked
    (see `augment.mask`); quiet: share of clips that are soft (see `augment.quieten`). decision_s:
    the part of each clip whose mean logits decide. between_weight: weight of the loss on windows
    between decisions. background_share: share of sequences that are unbroken stretches of noise or
    running speech.
    teacher_weight: share of the decisions' loss that a teacher's posteriors take, softened by
    temperature; teacher: whose, a network's that hears the same batches (see `teacher`), or those
    that a classifier gave once (see `posteriors`).
    power_weight: loss per uW of core power at 1 nA, times 1 - eps. classifier_power: how much a nW
    of the classifier counts there beside one of the core. margin_weight: loss per unit of the state
    error that white noise is expected to cause, relative to that of the candidates (see `margin`),
    times 1 - eps; margin_noise_na: the rms of that noise, on every candidate of the written pack at
    1 nA. mismatch: every step trains another virtual chip whose parameters are off by up to this
    fraction (three standard deviations).
    chip_unit_na: unit current of a typical chip whose leakage and transfer every step meets a
    random part of, from none to all; 0: exact cells alone. half: multiply in bfloat16 while
    training. balance: 1 decides as if all classes were equally likely, 0 as if each were as likely
    as training hears it (see `loss.adjusted`).

    What it begins with (see `stages.Stage`) may have fewer cells or blocks; reinit_dead_units:
    cells that change nothing there begin anew (see `loop.reinit_dead_units`). A second stage has
    lower rates; one of steps = 0 ends with what it begins with, such as the mean of several
    networks.
    new_classifier: of what it begins with it takes everything but the classifier, whatever classes
    that has; the classifier begins untrained. classifier_alone: everything before the classifier
    stays as it is there, the same bits for the same core power.
    without: kinds of clips that it does not hear though they are there, "synthetic" or "pictures".
    limits: word = how many real clips of it training hears at most; with 0 it is left out whole, to
    see what becomes of words never heard. shares: how often each kind of clip is drawn (see
    `Sampler`).

    clip_s: length of a clip. For the task wake-phrase alone: phrase, the words to listen for, and
    speech, how much of it is synthesised (see `training_set.Amounts`). For the task events alone:
    events, names of the folders of clips that are keywords, and sources, what the pack's manifest
    tells of the data: tables of name, licence and source.
    """

    name: str
    task: str
    description: str = ""
    version: str = "1.0.0"
    seed: Whole = 0
    width: Count = 4
    cells: Count = 4
    blocks: Count = 2
    weight_bits: Bits = 8
    weight_step: Positive = 2.0**-6
    current_bits: Bits = 10
    current_step: Positive = 2.0**-6
    current_scale: Positive = 1.0
    steps: Whole = 5000
    batch_size: Count = 96
    clips_per_sequence: Count = 2
    learning_rate: NotNegative = 3e-3
    muon_lr: NotNegative = 0.02
    weight_decay: NotNegative = 1e-3
    dropout: Share = 0.0
    label_smoothing: Share = 0.05
    eps_start: Share = 1.0
    eps_share: Share = 0.6
    slope: Positive = 1.0
    augment: NotNegative = 0.3
    noise: NotNegative = 1.0
    masks: Share = 0.0
    quiet: Share = 0.0
    decision_s: tuple[float, float] = (0.4, 1.0)
    balance: NotNegative = 0.0
    between_weight: NotNegative = 0.1
    background_share: Share = 0.0
    teacher_weight: Share = 0.0
    teacher: Literal["network", "posteriors"] = "network"
    temperature: Positive = 2.0
    power_weight: NotNegative = 0.0
    classifier_power: NotNegative = 0.0
    margin_weight: NotNegative = 0.0
    margin_noise_na: Positive = 0.01
    mismatch: Share = 0.0
    chip_unit_na: NotNegative = 0.0
    half: bool = False
    reinit_dead_units: bool = False
    new_classifier: bool = False
    classifier_alone: bool = False
    without: list[str] = field(default_factory=list)
    limits: dict[str, Whole] = field(default_factory=dict)
    shares: dict[str, NotNegative] = field(default_factory=dict)
    clip_s: float = 1.0
    phrase: str = ""
    speech: dict[str, int | float] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    sources: list[dict[str, str]] = field(default_factory=list)
    features: FeatureSettings = field(default_factory=FeatureSettings)
    detector: DetectorSettings = field(default_factory=DetectorSettings)

    __repr__ = changed

    def __post_init__(self) -> None:
        set_checked(self, "recipe")
        if self.task not in CLASSES and self.task not in (WAKE_PHRASE, EVENTS):
            raise ParameterError(
                f"recipe task: need one of {', '.join(CLASSES)}, {EVENTS}, got {self.task!r}"
            )
        if (self.task == EVENTS) != bool(self.events) or OTHER in self.events:
            raise ParameterError(
                f"recipe events: need names of events, none of them {OTHER!r}, for the task "
                f"{EVENTS} and for no other, got {self.events!r:.80} for {self.task}"
            )
        if not NAME.fullmatch(self.name):
            raise ParameterError(
                f"recipe name: need letters, digits, '.', '_' and '-', got {self.name!r:.80}"
            )
        if math.frexp(self.current_scale)[0] != 0.5:
            raise ParameterError(
                f"recipe current_scale: need a power of two, got {self.current_scale}"
            )
        for setting, given, known in (
            ("shares", self.shares, known_shares(self.task)),
            ("without", self.without, LEFT_OUT),
        ):
            unknown = sorted(set(given) - set(known))
            if unknown:
                raise ParameterError(
                    f"recipe {setting}: know {', '.join(known)}, got {unknown[0]!r:.80}"
                    f"{did_you_mean(unknown[0], known)}"
                )
        if self.task == WAKE_PHRASE:
            Phrase.parse(self.phrase)
        elif self.task != EVENTS and self.clip_s != 1:
            raise ParameterError(
                f"recipe clip_s: need 1 for the task {self.task}, got {self.clip_s}; a recipe for "
                "--wake-phrase leaves the task out"
            )
        if not 0.5 <= self.clip_s <= 5:
            raise ParameterError(f"recipe clip_s: need 0.5 to 5 s, got {self.clip_s}")
        frames = self.clip_s / self.features.frame_s
        if abs(frames - round(frames)) > 1e-6:
            raise ParameterError(
                f"recipe clip_s: need whole frames of {self.features.frame_s:g} s, got "
                f"{self.clip_s} s, {frames:.3f} frames"
            )
        start, stop = self.decision_s
        if not 0 <= start < stop <= self.clip_s:
            raise ParameterError(
                f"recipe decision_s: need 0 <= from < to <= {self.clip_s:g}, got {start}, {stop}"
            )

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> "Recipe":
        """Recipe of settings with plain tables; raises ParameterError, also for unknown names.

        Names of earlier versions are understood, as manifests of packs have them.
        """
        values = renamed(settings, OF_SETTINGS)
        for name in ("features", "detector"):
            if not isinstance(values.get(name, {}), dict):
                raise ParameterError(f"recipe {name}: need a table, got {values[name]!r:.80}")
        try:
            features = FeatureSettings.from_dict(values.pop("features", {}))
            detector = DetectorSettings.from_dict(values.pop("detector", {}))
        except TypeError as error:
            raise ParameterError(f"recipe: {error}") from error
        for name in ("name", "task"):
            if name not in values:
                raise ParameterError(f"recipe: need a {name}, got none")
        return replace(checked(cls, values, "recipe"), features=features, detector=detector)

    @property
    def classes(self) -> tuple[str, ...]:
        if self.task == WAKE_PHRASE:
            return (Phrase.parse(self.phrase).keyword, OTHER)
        if self.task == EVENTS:
            return (*self.events, OTHER)
        return CLASSES[self.task]

    @property
    def clip_hops(self) -> int:
        return round(self.clip_s * self.features.rate_hz) // self.features.hop_samples

    @property
    def keywords(self) -> tuple[str, ...]:
        if self.task == WAKE_PHRASE:
            return self.classes[:1]
        return tuple(c for c in self.classes if c not in ("unknown", "silence", "other"))

    def as_settings(self) -> dict[str, Any]:
        """What `from_settings` takes: plain tables."""
        return asdict(self) | {
            "features": self.features.as_dict(),
            "detector": self.detector.as_dict(),
        }

    def training_settings(self) -> dict[str, Any]:
        """What a manifest tells of the recipe: all but what stands elsewhere in it."""
        elsewhere = ["name", "description", "version", "features", "detector", "sources"]
        if self.task != WAKE_PHRASE:
            elsewhere += ["phrase", "speech"]
        if self.task != EVENTS:
            elsewhere += ["events"]
        if self.task not in (WAKE_PHRASE, EVENTS):
            elsewhere += ["clip_s"]
        return {key: value for key, value in asdict(self).items() if key not in elsewhere}
