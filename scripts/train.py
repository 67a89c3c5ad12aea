"""`kws-stream train` from a clone: python scripts/train.py CONFIG.toml --data DIR --out PACK."""

from kws_stream.cli import main

if __name__ == "__main__":
    import sys

    main(["train", *sys.argv[1:]])
