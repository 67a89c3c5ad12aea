"""A training recipe: everything that makes a model, in one TOML file, checked before it is used."""

import re
import tomllib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from kws_stream.constants import HOP_SAMPLES, SAMPLE_RATE_HZ
from kws_stream.detector import DetectorSettings
from kws_stream.errors import ParameterError, did_you_mean
from kws_stream.evaluation.speech_commands import TASKS, WORDS
from kws_stream.features import FeatureSettings
from kws_stream.training.phrase import OTHER, Phrase

# a model's classes: those of its task; one of all words knows silence too, for streams
CLASSES = TASKS | {"v2-35": (*WORDS, "silence")}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
WAKE_PHRASE = "wake-phrase"  # the task of a phrase of one's own: its classes are it and the rest


@dataclass(frozen=True)
class Recipe:
    """Network, training and detector settings of one model pack.

    Network: width m, cells d a block, blocks L. Weights have weight_bits (with sign) in steps of
    weight_step; biases, thresholds and state currents current_bits in steps of current_step.
    current_scale, a power of two, multiplies every current when the pack is written.

    Training: `steps` of `sequences` sequences of `joined` clips each, one-cycle; AdamW at
    learning_rate, and Muon at matrix_rate for the matrices of the blocks. eps goes
    from eps_start to 0 over the first eps_share of the steps (see `scan`). augment scales every
    random change of a clip, 1 being the ranges in `augment`; noise: how many times as often as that
    sequences have noise; masks: share of clips that are masked
    (see `augment.mask`). decision_s: the part of each clip
    whose mean logits decide. between_weight: weight of the loss on windows between decisions.
    background_share: share of sequences that are unbroken stretches of noise or running speech.
    teacher_weight: share of the decisions' loss that a teacher's posteriors take (see `teacher`
    and `posteriors`), softened by temperature.
    power_weight: loss per uW of core power at 1 nA, times 1 - eps. classifier_power: how much a nW
    of the classifier counts there beside one of the core. mismatch: every step trains another
    virtual chip whose parameters are off by up to this fraction (three standard deviations).
    chip_unit_na: unit current of a typical chip whose leakage and transfer every step meets a
    random part of, from none to all; 0: exact cells alone. half: multiply in bfloat16 while
    training. balance: 1 decides as if all classes were equally likely, 0 as if each were as likely
    as training hears it (see `loop.adjusted`).

    begins_with: the recipe whose trained network is the start, for a second stage at lower rates;
    or a list of recipes, to start with the mean of their networks (see `Training.start_from`), and
    with steps = 0 to end with it. It may have more cells or blocks than they; wake: cells that
    change nothing there begin anew (see `loop.wake_idle_cells`).
    new_classifier: of what it begins with it takes everything but the classifier, whatever classes
    that has; the classifier begins untrained. classifier_alone: everything before the classifier
    stays as it is there, the same bits for the same core power.
    limits: word = how many real clips of it training hears at most; with 0 it is left out whole, to
    see what becomes of words never heard. shares: how often each kind of clip is drawn (see
    `Sampler`).

    clip_s: length of a clip, in tenths of a second. For the task wake-phrase alone: phrase, the
    words to listen for, and speech, how much of it is synthesised (see `phrase_speech.Amounts`).
    """

    name: str
    task: str
    description: str = ""
    version: str = "1.0.0"
    seed: int = 0
    width: int = 4
    cells: int = 4
    blocks: int = 2
    weight_bits: int = 8
    weight_step: float = 2.0**-6
    current_bits: int = 10
    current_step: float = 2.0**-6
    current_scale: float = 1.0
    steps: int = 5000
    sequences: int = 96
    joined: int = 2
    learning_rate: float = 3e-3
    matrix_rate: float = 0.02
    weight_decay: float = 1e-3
    dropout: float = 0.0
    label_smoothing: float = 0.05
    eps_start: float = 1.0
    eps_share: float = 0.6
    slope: float = 1.0
    augment: float = 0.3
    noise: float = 1.0
    masks: float = 0.0
    decision_s: tuple[float, float] = (0.4, 1.0)
    balance: float = 0.0
    between_weight: float = 0.1
    background_share: float = 0.0
    teacher_weight: float = 0.0
    temperature: float = 2.0
    power_weight: float = 0.0
    classifier_power: float = 0.0
    mismatch: float = 0.0
    chip_unit_na: float = 0.0
    half: bool = False
    begins_with: str | list[str] = ""
    wake: bool = False
    new_classifier: bool = False
    classifier_alone: bool = False
    limits: dict[str, int] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    clip_s: float = 1.0
    phrase: str = ""
    speech: dict[str, float] = field(default_factory=dict)
    features: FeatureSettings = field(default_factory=FeatureSettings)
    detector: DetectorSettings = field(default_factory=DetectorSettings)

    def __post_init__(self) -> None:
        if self.task not in CLASSES and self.task != WAKE_PHRASE:
            raise ParameterError(
                f"recipe task: need one of {', '.join(CLASSES)}, got {self.task!r}"
            )
        if self.task == WAKE_PHRASE:
            Phrase.parse(self.phrase)
        elif self.clip_s != 1:
            raise ParameterError(
                f"recipe clip_s: need 1 for the task {self.task}, got {self.clip_s}; a recipe for "
                "--wake-phrase leaves the task out"
            )
        named = isinstance(self.begins_with, str | list)
        if not named or not all(isinstance(n, str) and NAME.fullmatch(n) for n in self.starts):
            raise ParameterError(
                "recipe begins_with: need the name of a recipe, or a list of names, got "
                f"{self.begins_with!r:.80}"
            )
        hops = 100 * self.clip_s
        if not 0.5 <= self.clip_s <= 5 or abs(hops - 10 * round(hops / 10)) > 1e-6:
            raise ParameterError(
                f"recipe clip_s: need 0.5 to 5 s in tenths of a second, got {self.clip_s}"
            )
        if self.clip_hops % self.features.hops_per_frame:
            raise ParameterError(
                f"recipe clip_s: need whole frames of {self.features.hops_per_frame} hops, got "
                f"{self.clip_hops} hops"
            )
        start, stop = self.decision_s
        if not 0 <= start < stop <= self.clip_s:
            raise ParameterError(
                f"recipe decision_s: need 0 <= from < to <= {self.clip_s:g}, got {start}, {stop}"
            )

    @classmethod
    def from_toml(cls, path: str | Path, **defaults: Any) -> "Recipe":
        """Recipe of a file; raises ParameterError that names the file and the setting.

        A file with `like = "NAME"` takes what it does not set from NAME.toml beside it. defaults:
        what neither sets, tables as dicts.
        """
        settings = _over(defaults, _settings_in(Path(path)))
        try:
            return cls.from_settings(settings)
        except (TypeError, ValueError) as error:
            raise ParameterError(f"{path}: {error}") from error

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> "Recipe":
        """Recipe of settings with plain tables; raises ParameterError, also for unknown names."""
        values = dict(settings)
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ParameterError(
                f"unknown settings {unknown}{did_you_mean(str(unknown[0]), known)}"
            )
        try:
            values["features"] = FeatureSettings.from_dict(values.get("features", {}))
            values["detector"] = DetectorSettings.from_dict(values.get("detector", {}))
            if "decision_s" in values:
                values["decision_s"] = tuple(values["decision_s"])
            return cls(**values)
        except TypeError as error:
            raise ParameterError(str(error)) from error

    @property
    def classes(self) -> tuple[str, ...]:
        if self.task == WAKE_PHRASE:
            return (Phrase.parse(self.phrase).keyword, OTHER)
        return CLASSES[self.task]

    @property
    def clip_hops(self) -> int:
        return round(self.clip_s * SAMPLE_RATE_HZ) // HOP_SAMPLES

    @property
    def keywords(self) -> tuple[str, ...]:
        if self.task == WAKE_PHRASE:
            return self.classes[:1]
        return tuple(c for c in self.classes if c not in ("unknown", "silence", "other"))

    @property
    def starts(self) -> tuple[str, ...]:
        """Names of the recipes that it begins with; none for an untrained network."""
        names = [self.begins_with] if isinstance(self.begins_with, str) else self.begins_with
        return tuple(name for name in names if name)

    def training_settings(self) -> dict[str, Any]:
        """What a manifest tells of the recipe: all but what stands elsewhere in it."""
        elsewhere = ["name", "description", "version", "features", "detector"]
        if self.task != WAKE_PHRASE:
            elsewhere += ["phrase", "speech", "clip_s"]
        return {key: value for key, value in asdict(self).items() if key not in elsewhere}


def _settings_in(path: Path, users: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Settings of a recipe file over those of the one that it is like. users: who asks for it."""
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ParameterError(f"{path}: need a recipe in TOML, got: {reason}") from error
    like = values.pop("like", None)
    if like is None:
        return values
    if not isinstance(like, str) or not NAME.fullmatch(like):
        raise ParameterError(
            f"{path}: like: need the name of a recipe beside this one, got {like!r}"
        )
    base = path.with_name(f"{like}.toml")
    if base in (*users, path):
        raise ParameterError(
            f"{path}: like: need a recipe that is not like this one in turn, got {like!r}"
        )
    return _over(_settings_in(base, (*users, path)), values)


def _over(defaults: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Values in place of defaults, table by table."""
    merged = defaults | values
    for name, default in defaults.items():
        if isinstance(default, dict) and isinstance(values.get(name), dict):
            merged[name] = default | values[name]
    return merged
