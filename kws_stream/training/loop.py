"""The training loop: recipe and recordings in, model pack out."""

import csv
import hashlib
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kws_stream import packs
from kws_stream.errors import DataError, PackError, ParameterError
from kws_stream.features import FeatureSettings
from kws_stream.files import write
from kws_stream.old_names import OF_SETTINGS, renamed
from kws_stream.packs.manifest import MANIFEST
from kws_stream.training.batches import Batches
from kws_stream.training.corpus import Corpus
from kws_stream.training.loss import adjusted, sequence_loss
from kws_stream.training.model import (
    Grid,
    Mismatch,
    PartOfChip,
    SpottingBlock,
    SpottingNetwork,
    state_currents,
)
from kws_stream.training.recipe import Recipe
from kws_stream.training.teacher import Teacher, in_classes, read_tensors
from kws_stream.training.validation import (
    ValidationClips,
    balanced,
    called,
    validation_clips,
)

CHECK_EVERY = 250  # steps between validations and checkpoints


@dataclass(frozen=True)
class ValidationCheck:
    """One validation: accuracy from a fresh state, and carried from clip to clip.

    On recordings by the validation speakers of the half that chooses, and on pictures of their
    clips, where there are any: the two are never added up. loss and power_nw (the core's, at 1 nA)
    are running means over training batches.
    """

    step: int
    loss: float
    power_nw: float
    fresh: float
    carried: float
    seconds: float
    pictures_fresh: float | None = None
    pictures_carried: float | None = None


def new_network(recipe: Recipe) -> SpottingNetwork:
    """An untrained network of the recipe's size and grid."""
    features = recipe.features.n_features
    grid = Grid(recipe.weight_bits, recipe.weight_step, recipe.current_bits, recipe.current_step)
    return SpottingNetwork(
        features, recipe.width, recipe.cells, recipe.blocks, len(recipe.classes), grid
    )


@torch.no_grad()
def centre_candidates(network: SpottingNetwork, features: Tensor) -> None:
    """Scale the untrained layers so that, on `features`, candidates lie about the hold window.

    Skip path: standard deviation 0.7; candidates: see `_centre`; logits: standard deviation 0.5.
    """
    x = network.pre(features, False)
    network.pre.weight.mul_(0.7 / x.flatten(0, 1).std(0).mean())
    x = network.pre(features, False)
    for block in network.typed_blocks:
        candidate = _centre(block, torch.relu(x), torch.ones_like(block.alpha, dtype=torch.bool))
        x = x + torch.relu(block.post(state_currents(candidate, block), False))
    _scale_logits(network, x)


@torch.no_grad()
def scale_classifier(network: SpottingNetwork, features: Tensor) -> None:
    """Scale an untrained classifier behind a trained network: logits' standard deviation 0.5."""
    x = network.pre(features, True)
    for block in network.typed_blocks:
        candidate = block.candidate(torch.relu(x), True)
        x = x + torch.relu(block.post(state_currents(candidate, block), True))
    _scale_logits(network, x)


def _scale_logits(network: SpottingNetwork, x: Tensor) -> None:
    network.classifier.weight.mul_(0.5 / network.classifier(x, False).std())


@torch.no_grad()
def reinit_dead_units(network: SpottingNetwork, features: Tensor) -> None:
    """Make idle cells (see `pruning`) untrained ones that are heard by nothing yet.

    The network gives the same logits and can learn to use them: growth that keeps the function, as
    in Net2Net (Chen et al., arXiv:1511.05641). A block without any other cells adds one step of
    bias. Candidates of the new cells lie about the hold window on `features`.
    """
    x = network.pre(features, True)
    for block in network.typed_blocks:
        idle = block.renew_idle_cells()
        inputs = torch.relu(x)
        _centre(block, inputs, idle)
        x = x + torch.relu(block.post(state_currents(block.candidate(inputs, True), block), True))


def _centre(block: SpottingBlock, inputs: Tensor, cells: Tensor) -> Tensor:
    """Scale candidates of those cells (d,): the candidates (T, batch, d) of all, not quantised.

    Mean in the middle of beta1..beta2, standard deviation 0.4; their window is 0.5 wide. Cells that
    never change state learn nothing.
    """
    weight, bias = block.candidate.weight, block.candidate.bias
    candidate = block.candidate(inputs, False).flatten(0, 1)
    weight[:, cells] *= (0.4 / candidate.std(0))[cells]
    candidate = block.candidate(inputs, False).flatten(0, 1)
    bias[cells] += (0.75 - candidate.mean(0))[cells]
    centred: Tensor = block.candidate(inputs, False)
    return centred


def optimisers(network: SpottingNetwork, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices before and inside the blocks, AdamW for everything else.

    Muon (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024) replaces a
    matrix's step by its nearest orthogonal matrix.
    """
    matrices = [network.pre.weight]
    for block in network.typed_blocks:
        matrices += [block.candidate.weight, block.post.weight]
    ids = {id(matrix) for matrix in matrices}
    rest = [p for p in network.parameters() if id(p) not in ids]
    return [
        torch.optim.Muon(matrices, recipe.muon_lr, weight_decay=recipe.weight_decay),
        torch.optim.AdamW(rest, recipe.learning_rate, weight_decay=recipe.weight_decay),
    ]


def validate(
    network: SpottingNetwork, held_out: ValidationClips, recipe: Recipe
) -> tuple[float, float]:
    """Balanced accuracy, fresh and carried, of quantised `network` on clips in a fixed order."""
    labels = held_out.labels.numpy()
    fresh, order, carried = called(network, held_out.clips, recipe)
    return balanced(fresh[order], labels[order]), balanced(carried, labels[order])


class Training:
    """One run in a folder: log.csv, checkpoint.safetensors and state.json; it can be resumed."""

    def __init__(
        self,
        recipe: Recipe,
        corpus: Corpus,
        folder: Path,
        teacher: Teacher | None = None,
        device: str = "cpu",
    ) -> None:
        """teacher: the network that a recipe learns from whose teacher is one.

        device: where the network is trained, as PyTorch names it. Batches are drawn on the
        processor, so that a seed draws the same ones for every device. Raises DataError where a
        recipe has nobody to learn from.
        """
        asked = any(len(clips.logits) for clips in corpus.clips.values())
        there = asked if recipe.teacher == "posteriors" else teacher is not None
        if recipe.teacher_weight and not there:
            raise DataError(
                f"the recipe {recipe.name} learns from a teacher: need one, got none; "
                "make it with `kws-stream teach` or `kws-stream data ask-teacher`, and name it "
                "with --teacher"
            )
        self.recipe = recipe
        self._device = torch.device(device)
        self._teacher = None
        if teacher is not None and recipe.teacher_weight and recipe.teacher == "network":
            self._teacher = teacher.to(self._device)
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        self._batches = Batches(corpus, recipe)
        self._class_shares = self._batches.class_shares().to(self._device)
        self._validation = validation_clips(corpus, recipe)
        if not len(self._validation.of("speech_commands")):
            raise DataError(
                "need clips of validation speakers for this task, found none; "
                "use the whole speech_commands folder"
            )
        self.network = new_network(recipe)
        centre_candidates(self.network, self._first_features())
        self.network.to(self._device)
        if recipe.classifier_alone:
            self.network.requires_grad_(False)
            self.network.classifier.requires_grad_(True)
        self._optimisers = optimisers(self.network, recipe)
        self._schedules = [
            torch.optim.lr_scheduler.OneCycleLR(
                optimiser,
                optimiser.param_groups[0]["lr"],
                total_steps=recipe.steps + 1,
                pct_start=0.15,
                cycle_momentum=False,
            )
            for optimiser in self._optimisers
        ]
        self._began_with: list[str] = []  # digests of the networks of `start_from`
        self.step = 0
        self._loss = 0.0
        self._power_nw = 0.0

    def _first_features(self) -> Tensor:
        """What untrained cells are scaled by: a batch that no step hears."""
        return self._batches.draw(torch.Generator().manual_seed(self.recipe.seed))[0]

    def _start_bits(self, generator: torch.Generator) -> list[Tensor]:
        """Random bits in half of the sequences: in a stream nobody resets the cells."""
        recipe = self.recipe
        shape = (recipe.batch_size, recipe.cells)
        bits = [
            torch.randint(0, 2, shape, generator=generator).float()
            * torch.randint(0, 2, (recipe.batch_size, 1), generator=generator)
            for _ in range(recipe.blocks)
        ]
        return [of_block.to(self._device) for of_block in bits]

    def _chip(self, generator: torch.Generator) -> PartOfChip | None:
        """Any part of the way to the recipe's typical chip."""
        unit_na = self.recipe.chip_unit_na
        if not unit_na:
            return None
        shares = torch.rand(2, generator=generator).tolist()
        return PartOfChip(unit_na * self.recipe.current_scale, *shares)

    def advance(self) -> None:
        """One step of the optimiser; its randomness depends on seed and step alone."""
        recipe = self.recipe
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + self.step + 1)
        batch = self._batches.draw(generator)
        features, labels, taught = (t.to(self._device) for t in batch)
        eps = recipe.eps_start * max(0.0, 1 - self.step / (recipe.eps_share * recipe.steps))
        logits, power_nw, classifier_nw, state_error = self.network.with_power(
            features,
            self._start_bits(generator),
            eps,
            recipe.slope,
            dropout=recipe.dropout,
            mismatch=Mismatch(recipe.mismatch, generator),
            chip=self._chip(generator),
            current_scale=recipe.current_scale,
            half=recipe.half,
            noise_na=recipe.margin_noise_na if recipe.margin_weight else 0.0,
        )
        logits = adjusted(logits, self._class_shares, recipe.balance)
        if self._teacher is not None:
            with torch.no_grad():
                said = self._teacher(features, recipe.clips_per_sequence)
            taught = in_classes(said, self._teacher.classes, recipe.classes)
        else:  # one that knows nothing of how often a class is heard here
            taught = adjusted(taught.permute(1, 0, 2), self._class_shares, recipe.balance)
        loss = sequence_loss(logits, labels, recipe, taught if recipe.teacher_weight else None)
        # with eps the states pile up, and with them a power that no chip will have
        counted_nw = power_nw + recipe.classifier_power * classifier_nw
        loss = loss + (1 - eps) * recipe.power_weight * counted_nw / 1000
        loss = loss + (1 - eps) * recipe.margin_weight * state_error
        for optimiser in self._optimisers:
            optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimiser, schedule in zip(self._optimisers, self._schedules, strict=True):
            optimiser.step()
            schedule.step()
        self.step += 1
        share = max(0.02, 1 / self.step)
        self._loss += (loss.item() - self._loss) * share
        self._power_nw += (power_nw.item() - self._power_nw) * share

    def run(
        self, report: Callable[[ValidationCheck], None], progress: Callable[[int], None]
    ) -> None:
        """Train to the end; `progress` hears of every step, `report` of every validation.

        A recipe of no steps validates what it begins with.
        """
        began = time.monotonic()
        if not self.recipe.steps:
            report(self._check(began))
        while self.step < self.recipe.steps:
            self.advance()
            progress(self.step)
            if self.step % CHECK_EVERY == 0 or self.step == self.recipe.steps:
                report(self._check(began))

    def _check(self, began: float) -> ValidationCheck:
        """Validate, and write log and checkpoint."""
        self.network.eval()
        accuracies: list[float] = []
        for source in ("speech_commands", "pictures"):
            of_source = self._validation.of(source)
            if len(of_source):
                accuracies += validate(self.network, of_source, self.recipe)
        self.network.train()
        seconds = time.monotonic() - began
        fresh, carried, *of_pictures = accuracies
        check = ValidationCheck(
            self.step, self._loss, self._power_nw, fresh, carried, seconds, *of_pictures
        )
        self._log(check)
        self.save()
        return check

    def _log(self, check: ValidationCheck) -> None:
        """All of the log anew: a line that is added may be lost by half."""
        path = self.folder / "log.csv"
        before = path.read_bytes() if path.exists() else b""
        file = io.StringIO(newline="")
        writer = csv.writer(file)
        if not before:
            writer.writerow(vars(check))
        writer.writerow(vars(check).values())
        write(path, before + file.getvalue().encode())

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        from safetensors.torch import save

        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        for number, optimiser in enumerate(self._optimisers):
            for index, state in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{number}.{index}.{k}": v for k, v in state.items()}
        metadata = {
            "step": str(self.step),
            "recipe": json.dumps(self._identity()),
            "began_with": json.dumps(self._began_with),
            "schedules": json.dumps([s.state_dict() for s in self._schedules]),
            "groups": json.dumps([o.state_dict()["param_groups"] for o in self._optimisers]),
        }
        data = save({k: v.contiguous() for k, v in tensors.items()}, metadata)
        write(self.folder / "checkpoint.safetensors", data)

    def resume(self) -> bool:
        """Go on from the checkpoint of the same recipe in this folder; False if there is none.

        Nor is there one where the training began with other networks than `start_from` named now:
        an earlier stage has been trained anew. Raises DataError for a checkpoint that is damaged.
        """
        path = self.folder / "checkpoint.safetensors"
        if not path.exists():
            return False
        tensors, metadata = read_tensors(path)
        begun = renamed(json.loads(metadata["recipe"]), OF_SETTINGS)
        if begun != json.loads(json.dumps(self._identity())):
            return False
        began_with = json.loads(metadata.get("began_with", "null"))
        if self._began_with and began_with is not None and began_with != self._began_with:
            return False
        self.step = int(metadata["step"])
        self.network.load_state_dict(_within(tensors, "network."))
        schedules, groups = json.loads(metadata["schedules"]), json.loads(metadata["groups"])
        for number, optimiser in enumerate(self._optimisers):
            state = optimiser.state_dict()
            for index in range(len(optimiser.param_groups[0]["params"])):
                state["state"][index] = _within(tensors, f"optimiser.{number}.{index}.")
            state["param_groups"] = groups[number]
            optimiser.load_state_dict(state)
            self._schedules[number].load_state_dict(schedules[number])
        return True

    def start_from(self, *folders: Path) -> None:
        """Begin with the network of another run, or of a model pack, in place of an untrained one.

        What it has fewer of, cells of a block or blocks, is idle at first; with the recipe's
        `reinit_dead_units` idle cells are made untrained ones (see `reinit_dead_units`).

        Of several folders, begin with the mean of their parameters: "model soups", Wortsman et al.,
        arXiv:2203.05482. It has helped where they are stages of one training (docs/training.md).

        Raises DataError if there is neither, or if its size, front end or classes are others.
        """
        networks = []
        for folder in folders:
            self._start_from_one(folder)
            networks.append({k: v.clone() for k, v in self.network.state_dict().items()})
        mean = {k: torch.stack([of_one[k] for of_one in networks]).mean(0) for k in networks[0]}
        self.network.load_state_dict(mean)
        if self.recipe.reinit_dead_units:
            reinit_dead_units(self.network, self._first_features().to(self._device))
        if self.recipe.new_classifier:
            scale_classifier(self.network, self._first_features().to(self._device))

    def _start_from_one(self, folder: Path) -> None:
        if (folder / MANIFEST).exists():
            self._start_from_pack(folder)
            return
        path = folder / "checkpoint.safetensors"
        if not path.exists():
            raise DataError(
                f"{folder}: need the folder of a model pack, or of a run with a checkpoint, "
                "found neither"
            )
        tensors, _ = read_tensors(path)
        state = _within(tensors, "network.")
        self._began_with.append(_digest(state))
        if self.recipe.new_classifier:
            state |= {k: v for k, v in self.network.state_dict().items() if "classifier" in k}
        try:
            self.network.load_larger(state)
        except RuntimeError as error:
            raise DataError(
                f"{folder}: need a network of the recipe's size, got one of another"
            ) from error

    def _start_from_pack(self, folder: Path) -> None:
        recipe = self.recipe
        try:
            pack = packs.load(folder)
        except PackError as error:
            raise DataError(str(error)) from error
        self._began_with.append(pack.manifest["files"][pack.manifest["network"]])
        if FeatureSettings.from_dict(pack.features) != recipe.features:
            raise DataError(
                f"{folder}: need a pack with the recipe's front end, got one with another; "
                "give the recipe its [features]"
            )
        anew = recipe.new_classifier
        if pack.classes != recipe.classes and not anew:
            raise DataError(
                f"{folder}: need a pack with the recipe's classes, {', '.join(recipe.classes)}, "
                f"got {', '.join(pack.classes)}; new_classifier = true takes all but them"
            )
        try:
            self.network.take(pack.network.parameters, recipe.current_scale, classifier=not anew)
        except ParameterError as error:
            raise DataError(f"{folder}: need a network of the recipe's size: {error}") from error

    def _identity(self) -> dict[str, Any]:
        features = self.recipe.features.as_dict()
        return self.recipe.training_settings() | {"features": features}


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _within(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
