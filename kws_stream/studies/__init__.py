"""Studies of a model on virtual chips: what `kws-stream chip` runs.

Each is a function of a pack, utterances and chip settings that gives a result with `as_dict`; none
depends on the number of workers. docs/chip.md describes them.
"""

from kws_stream.studies.clips import Utterances, load_utterances
from kws_stream.studies.montecarlo import MonteCarlo, montecarlo
from kws_stream.studies.noise import NoiseStudy, noise

__all__ = ["MonteCarlo", "NoiseStudy", "Utterances", "load_utterances", "montecarlo", "noise"]
