"""Calls one hook of a build backend (PEP 517, 660) in the source tree it was started in.

Arguments: the request and where to put the result, two JSON files. A result says `value`, or
`missing` (the backend has no such hook), or `problem` with a `kind`: `import` (no such backend),
`path` (the backend does not come from `backend-path`), `hook` (it failed; the traceback is in the
output). Works from Python 3.8 on, with the standard library alone.
"""

import importlib
import json
import os
import sys
import traceback


class Problem(Exception):
    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind


def load(spec, folders):
    sys.path[:0] = folders
    name, _, attributes = spec.partition(":")
    try:
        backend = importlib.import_module(name)
    except ImportError as error:
        traceback.print_exc()
        raise Problem("import", str(error))
    if folders:
        origin = os.path.realpath(getattr(backend, "__file__", None) or "")
        inside = [os.path.join(os.path.realpath(folder), "") for folder in folders]
        if not any(origin.startswith(folder) for folder in inside):
            raise Problem("path", "it was found at {}".format(origin or "no file"))
    try:
        for attribute in filter(None, attributes.split(".")):
            backend = getattr(backend, attribute)
    except AttributeError as error:
        raise Problem("import", str(error))
    return backend


def call(request):
    folders = [os.path.abspath(folder) for folder in request["backend_path"]]
    backend = load(request["backend"], folders)
    hook = getattr(backend, request["hook"], None)
    if hook is None:
        return {"missing": None}
    try:
        value = hook(*request["positional"], **request["named"])
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        raise Problem("hook", "{}: {}".format(type(error).__name__, error))
    return {"value": value}


def main(request_path, result_path):
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    # Backends look at it; what we were called with is no business of theirs.
    sys.argv = ["setup.py"]
    try:
        result = call(request)
    except Problem as problem:
        result = {"problem": {"kind": problem.kind, "text": str(problem)}}
    sys.stdout.flush()
    sys.stderr.flush()
    text = json.dumps(result)
    with open(result_path, "w", encoding="utf-8") as file:
        file.write(text)


main(*sys.argv[1:])
