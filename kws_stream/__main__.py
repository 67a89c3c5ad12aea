"""`python -m kws_stream`: the same as `kws-stream`."""

from kws_stream.cli import main

if __name__ == "__main__":
    main(prog_name="kws-stream")
