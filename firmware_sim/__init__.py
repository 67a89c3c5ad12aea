"""The digital side of the chip: its configuration bitstream, and firmware in C99.

model.py          what of a model pack the digital side needs, as plain numbers
integers.py       the network in integers, every width proved
detector.py       the numbers of the detector in C, every range proved
export_c.py       a self-contained C library; its sources are in c/
new_folder.py     an export's folder, whole or not at all
registers.py      the register map: one table for packing, unpacking, documents and C
bitstream.py      a model as bits for the chip, and back
chip.py           the chip's shift register, latches, readback and supply, bit by bit
scalar.py         the network one cell and one frame at a time, the oracle of all others
toolchain.py      running the C code on this machine, with the programs in host/
cortex_m/         size, stack and instructions of the C code on a simulated Cortex-M
"""
