"""A build backend in a few lines: what is in the folder `src` becomes a wheel."""

import base64
import hashlib
import os
import zipfile

REQUIRES = []


def _read(name):
    with open(name, encoding="utf-8") as file:
        return file.read()


def _stem():
    name, version = _read("NAME").split()
    return "{}-{}".format(name.replace("-", "_"), version)


def _zip(path, members):
    record = _stem() + ".dist-info/RECORD"
    rows = []
    for name, text in members:
        digest = hashlib.sha256(text.encode()).digest()
        digest = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        rows.append("{},sha256={},{}".format(name, digest, len(text.encode())))
    rows.append(record + ",,")
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members + [(record, "\n".join(rows) + "\n")]:
            archive.writestr(name, text)


def _about():
    info = _stem() + ".dist-info/"
    wheel = "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    members = [(info + "METADATA", _read("METADATA")), (info + "WHEEL", wheel)]
    if os.path.exists("entry_points.txt"):
        members.append((info + "entry_points.txt", _read("entry_points.txt")))
    return members


def _wheel(folder, members):
    name = _stem() + "-py3-none-any.whl"
    _zip(os.path.join(folder, name), members + _about())
    return name


def get_requires_for_build_wheel(config_settings=None):
    return REQUIRES


def build_wheel(folder, config_settings=None, metadata_directory=None):
    members = []
    for above, _, names in os.walk("src"):
        for name in sorted(names if "__pycache__" not in above else []):
            path = os.path.join(above, name)
            members.append((os.path.relpath(path, "src"), _read(path)))
    if config_settings:
        members.append(("settings.txt", repr(sorted(config_settings.items()))))
    print("built", _stem())
    return _wheel(folder, members)


def get_requires_for_build_editable(config_settings=None):
    return REQUIRES


def build_editable(folder, config_settings=None, metadata_directory=None):
    return _wheel(folder, [("_" + _stem() + ".pth", os.path.abspath("src") + "\n")])
