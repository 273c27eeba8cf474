"""Compiles Python sources to bytecode files, one after the other, and never runs any of them.

Reads requests from standard input, one JSON array a line: [path or null, base64 text or null,
name for tracebacks, modification time, size]. Answers each on standard output: eight bytes,
little endian, the length of the bytecode file, then its content; length 2**64-1 where the source
does not compile. Started with `-I -S -B`, so that neither the environment nor site-packages of
anybody take part. Works from Python 3.8 on.
"""

import base64
import json
import os
import sys
import warnings
from importlib._bootstrap_external import _code_to_timestamp_pyc

FAILED = (2**64 - 1).to_bytes(8, "little")


def stand_back():
    """Give way to everything else on the machine."""
    try:
        os.nice(19)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):
        pass


def bytecode(path, text, name, mtime, size):
    if path is None:
        source = base64.b64decode(text)
    else:
        with open(path, "rb") as file:
            source = file.read()
    code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    return bytes(_code_to_timestamp_pyc(code, mtime & 0xFFFFFFFF, size & 0xFFFFFFFF))


def main():
    stand_back()
    warnings.simplefilter("ignore")
    answers = sys.stdout.buffer
    for line in sys.stdin.buffer:
        try:
            content = bytecode(*json.loads(line))
        except Exception:  # whatever a source does to the compiler, the next one is served
            answers.write(FAILED)
        else:
            answers.write(len(content).to_bytes(8, "little"))
            answers.write(content)
        answers.flush()


main()
