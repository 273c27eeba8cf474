"""`pip` in an environment of blast: hands every command to blast, which carries it out as one
operation that `blast revert` takes back. The real pip takes its place where it is installed."""

import os
import shutil
import subprocess
import sys

__all__ = ["main"]
# The release of pip whose options are understood.
__version__ = "26.1"


def command(arguments):
    """The program that carries out these arguments, and its words."""
    # Beside the environment's own files, so that it is the blast that made them.
    blast = os.path.join(sys.prefix, ".blast", "blast")
    if not os.access(blast, os.X_OK):
        blast = shutil.which("blast")
    if blast is None and "BLAST_INSIDE" in os.environ:
        raise SystemExit(
            "ERROR: this program is in a sandbox, and from there pip cannot change the environment: run "
            "`blast install` outside, or the program with `blast run --sandbox none`"
        )
    if blast is None:
        raise SystemExit(
            "ERROR: pip of this environment is blast, and there is no `blast` on the PATH"
        )
    return blast, ["blast", "pip", sys.prefix, *arguments]


def main(arguments=None):
    """Carries out a command of pip's, and gives its exit status."""
    blast, words = command(sys.argv[1:] if arguments is None else arguments)
    sys.stdout.flush()
    return subprocess.call(words, executable=blast)
