"""A pack with fewer bits a parameter, as a pack of its own."""

import os
from dataclasses import replace
from pathlib import Path

from kws_stream import packs
from kws_stream.bmru.chip import ChipSettings
from kws_stream.bmru.fabricate import quantised
from kws_stream.packs import Pack


def requantised_pack(
    pack: Pack, directory: str | os.PathLike[str], weight_bits: int = 0, bias_bits: int = 0
) -> Path:
    """Write the pack with weights and bias currents in so many bits (0: as they are).

    Without ONNX graphs: NumPy gives the same bits. The manifest names the pack after its folder,
    says what was done to it, and has no figures, since those were measured on other weights.
    Raises ParameterError for bits out of range and PackError where nothing can be written.
    """
    settings = ChipSettings(weight_bits=weight_bits, bias_bits=bias_bits)
    coded = quantised(pack.network.parameters, settings)
    parameters = replace(coded, input_grid=pack.network.parameters.input_grid)
    name = Path(directory).resolve().name
    bits = ", ".join(
        f"{what} in {count} bits"
        for what, count in (("weights", weight_bits), ("bias currents", bias_bits))
        if count
    )
    changes = {
        "name": name,
        "description": f"{pack.manifest['description']}; {bits or 'copied'}, from {pack.name}",
        "metrics": {},
    }
    head = None if pack.verifier is None else pack.verifier.head
    return packs.save(directory, pack.manifest | changes, parameters, head=head)
