"""Coverage-guided fuzzing of all that reads what strangers send: libFuzzer and atheris.

    python -m fuzz [TARGET ...] --minutes 10      # each target that long; `make fuzz`

Seeds are made here (see the targets), inputs that once broke something are kept in kept/TARGET.
tests/test_fuzz.py runs both, and a moment of mutations, without atheris.
"""
