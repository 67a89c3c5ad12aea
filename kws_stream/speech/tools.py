"""The programs that synthesise speech, espeak-ng and flite."""

import shutil
import subprocess

from kws_stream.errors import AudioError, MissingExtraError


def run_tool(command: list[str], *, needs_success: bool = True) -> str:
    """Run a tool and return what it said.

    Raises MissingExtraError when it is not installed, AudioError when it failed.
    """
    if shutil.which(command[0]) is None:
        raise MissingExtraError(
            f"need the program {command[0]} to synthesise speech, and it is not installed; "
            "on Debian and Ubuntu: apt-get install espeak-ng flite"
        )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    if needs_success and done.returncode:
        raise AudioError(f"{command[0]} failed: {said.strip()[:200]}")
    return said
