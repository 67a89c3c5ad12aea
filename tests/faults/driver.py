"""Runs commands of kws-stream in children of a process that has loaded everything, with faults.

A line of JSON on standard input asks for a run: argv, folder, kind and at as in disk.c. A line of
JSON answers: status, calls that changed something, and what was printed.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
import tempfile
import traceback

import onnx  # noqa: F401

import kws_stream.evaluation
import kws_stream.export.web
import kws_stream.plots
import kws_stream.power
import kws_stream.studies  # noqa: F401
from kws_stream.cli import main

MOST_S = 300  # for a command; then SIGALRM ends it
KINDS = {"none": 0, "full": 1, "read-only": 2, "killed": 3}


def run(argv: list[str], folder: str, kind: str, at: int) -> dict[str, object]:
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as counted:
        child = os.fork()
        if child == 0:
            os.dup2(printed.fileno(), 1)
            os.dup2(printed.fileno(), 2)
            signal.alarm(MOST_S)
            shim = ctypes.CDLL(None)
            shim.fault_arm(folder.encode(), KINDS[kind], ctypes.c_long(at))
            status: object = 99
            try:
                main(argv, prog_name="kws-stream")
            except SystemExit as end:
                status = end.code or 0
            except BaseException:
                traceback.print_exc()
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            shim.fault_count.restype = ctypes.c_long
            os.write(counted.fileno(), str(shim.fault_count()).encode())
            os._exit(int(str(status)))
        _, how = os.waitpid(child, 0)
        printed.seek(0)
        counted.seek(0)
        return {
            "status": os.waitstatus_to_exitcode(how),
            "calls": int(counted.read() or b"0"),
            "printed": printed.read().decode("utf-8", "replace"),
        }


for line in sys.stdin:
    print(json.dumps(run(**json.loads(line))), flush=True)
