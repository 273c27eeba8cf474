"""Compiles sources, an array of [name, text], to the content of bytecode files that are used without
them; never runs any. Answers with an array of their base64. Works from Python 3.8 on."""

import base64
import json
import marshal
import sys
from importlib.util import MAGIC_NUMBER

# PEP 552: by hash, which nobody checks.
HEADER = MAGIC_NUMBER + b"\x01\0\0\0" + bytes(8)


def bytecode(name, text):
    return HEADER + marshal.dumps(compile(text, name, "exec", dont_inherit=True))


sources = json.loads(sys.argv[1])
print(json.dumps([base64.b64encode(bytecode(*source)).decode() for source in sources]))
