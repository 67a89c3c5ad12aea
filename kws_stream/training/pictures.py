"""Log-mel pictures of clips as channel envelopes, for words of which no recordings are at hand.

A picture is 98 frames (30 ms window, 10 ms hop) by 40 mel bands from 0 to 4 kHz, 8 bits, linear in
the logarithm, as benchmarks of microcontrollers keep the data set. A small network, fitted on clips
of training speakers of which picture and recording exist, maps nine frames to the logarithm of the
envelopes of one hop.
"""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kws_stream.brief import brief
from kws_stream.errors import DataError, MissingExtraError
from kws_stream.evaluation.speech_commands import split_of

FRAMES, BANDS = 98, 40
HOPS = 100
BEFORE, AFTER = 5, 3  # frames of 10 ms heard before and after the one that begins with a hop
HIDDEN = 160
SUFFIXES = (".jpg", ".jpeg", ".png")
STEPS, CLIPS, RATE, SEED = 1500, 24, 2e-3, 0
FLOOR = 1e-6  # of full scale, under the logarithm
SAME = 2.0  # times the median error: beyond it, picture and recording are not the same
PART = 512  # clips mapped at once

Envelopes = NDArray[np.float32]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Pictures:
    """Pictures (n, 98, 40), their words and names; a name is that of the clip, without suffix."""

    pixels: Pixels
    words: NDArray[np.str_]
    names: NDArray[np.str_]

    __repr__ = brief

    @property
    def splits(self) -> NDArray[np.str_]:
        """The official split of each, by its name."""
        return np.array([split_of(name) for name in self.names])

    @property
    def keys(self) -> list[str]:
        """word/name of each: the same as of a recording of the clip."""
        return [f"{word}/{name}" for word, name in zip(self.words, self.names, strict=True)]

    def of(self, rows: NDArray[np.integer]) -> "Pictures":
        return Pictures(self.pixels[rows], self.words[rows], self.names[rows])

    @classmethod
    def load(cls, path: Path) -> "Pictures":
        """Those of a folder, or of a tar archive, with one folder a word.

        Raises DataError if there are none, or one cannot be read or has another size.
        """
        found = sorted(_files(path))
        if not found:
            raise DataError(
                f"{path}: need pictures ({', '.join(SUFFIXES)}) in one folder a word, found none"
            )
        pixels = np.stack([_pixels(f"{path}: {word}/{name}", data) for word, name, data in found])
        words, names = ([row[column] for row in found] for column in (0, 1))
        return cls(pixels, np.array(words), np.array(names))


def _files(path: Path) -> Iterator[tuple[str, str, bytes]]:
    """Word, name without suffix, and content of each picture."""
    if path.is_dir():
        for file in path.rglob("*"):
            if file.suffix.lower() in SUFFIXES and file.is_file():
                yield file.parent.name, file.stem, file.read_bytes()
        return
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if name.suffix.lower() not in SUFFIXES or not member.isfile():
                    continue
                content = archive.extractfile(member)
                assert content is not None
                yield name.parent.name, name.stem, content.read()
    except (OSError, tarfile.TarError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: need a folder of pictures, or a tar archive of one, got: {reason}"
        ) from error


def _pixels(where: str, content: bytes) -> Pixels:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError(
            "reading pictures needs the package pillow, which is not installed; "
            "pip install 'kws-stream[train]'"
        ) from error
    try:
        with Image.open(io.BytesIO(content)) as image:
            pixels: Pixels = np.asarray(image.convert("L"), np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: need a picture, got what cannot be read: {error}") from error
    if pixels.shape != (FRAMES, BANDS):
        rows, columns = pixels.shape
        raise DataError(
            f"{where}: need a picture of {FRAMES} frames (rows) by {BANDS} bands (columns), "
            f"got {rows} by {columns}"
        )
    return pixels


class PictureMap(nn.Module):
    """Envelopes (n, 100, channels) of pictures (n, 98, 40)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inputs = (BEFORE + 1 + AFTER) * BANDS
        self.layers = nn.Sequential(
            nn.Linear(inputs, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, channels),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Logarithm of the envelopes (n, 100, channels) of pictures (n, 98, 40), 0 to 255."""
        frames = pixels.float() / 64 - 1
        places = torch.arange(HOPS)[:, None] + torch.arange(-BEFORE, AFTER + 1)
        nine = frames[:, places.clamp(0, FRAMES - 1)].flatten(2)
        logarithms: Tensor = self.layers(nine)
        return logarithms

    def as_bytes(self) -> bytes:
        """What `read` takes."""
        from safetensors.torch import save

        return save(self.state_dict())

    @classmethod
    def read(cls, path: Path) -> "PictureMap | None":
        """A map that was kept in a file; None if there is none, or a damaged one."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            state = load(path.read_bytes())
            kept = cls(len(state["layers.4.bias"]))
            kept.load_state_dict(state)
        except (OSError, SafetensorError, KeyError, RuntimeError):
            return None
        return kept.eval()

    @torch.no_grad()
    def envelopes(self, pixels: Pixels) -> Envelopes:
        """Envelopes (n, 100, channels) of pictures (n, 98, 40)."""
        parts = torch.split(torch.from_numpy(pixels), PART)
        return np.concatenate([self(part).exp().numpy() for part in parts])

    @torch.no_grad()
    def errors(self, pixels: Pixels, envelopes: Envelopes) -> Envelopes:
        """Mean error of each clip's channels (n, channels), in neper, against its recording."""
        pairs = zip(
            torch.split(torch.from_numpy(pixels), PART),
            torch.split(torch.from_numpy(envelopes), PART),
            strict=True,
        )
        parts = [(self(ours) - _logarithm(theirs)).abs().mean(1).numpy() for ours, theirs in pairs]
        return np.concatenate(parts)


def _logarithm(envelopes: Tensor) -> Tensor:
    return (envelopes + FLOOR).log()


def same_recording(errors: Envelopes) -> NDArray[np.bool_]:
    """Which clips (n,) are near enough to be the same recording, by `PictureMap.errors`.

    The data set has two versions, and some of a name are of other recordings.
    """
    of_clip = errors.mean(1)
    near: NDArray[np.bool_] = of_clip < SAME * np.median(of_clip)
    return near


def fit_map(
    pixels: Pixels, envelopes: Envelopes, steps: int = STEPS, seed: int = SEED
) -> PictureMap:
    """A map fitted on pictures (n, 98, 40) and the envelopes (n, 100, channels) of the same clips.

    Fitted twice: on all, and anew on those that the first map calls the same recording.
    The same input gives the same map on the same machine.
    """
    first = _fit(pixels, envelopes, steps // 2, seed)
    same = same_recording(first.errors(pixels, envelopes))
    return _fit(pixels[same], envelopes[same], steps, seed)


def _fit(pixels: Pixels, envelopes: Envelopes, steps: int, seed: int) -> PictureMap:
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fitted = PictureMap(envelopes.shape[-1])
    inputs, targets = torch.from_numpy(pixels), torch.from_numpy(envelopes)
    last = fitted.layers[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.bias.copy_(_logarithm(targets).mean((0, 1)))
    optimiser = torch.optim.Adam(fitted.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps + 1)
    for _ in range(steps):
        rows = torch.randint(0, len(inputs), (CLIPS,), generator=generator)
        loss = (fitted(inputs[rows]) - _logarithm(targets[rows])).abs().mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
    return fitted.eval()
