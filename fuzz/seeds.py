#!/usr/bin/env python3
"""Writes a first corpus for each target below the given folder: small valid inputs to start from."""
import base64
import hashlib
import io
import sys
import zipfile
from pathlib import Path

METADATA = (b"Metadata-Version: 2.4\nName: demo\nVersion: 1.0\nRequires-Python: >=3.8\n"
            b"Requires-Dist: flask>=2,<4; python_version < '3.13' and extra == 'web'\n"
            b"Provides-Extra: web\nDynamic: license\n\nA demo.\n")
SCRIPTS = b"[console_scripts]\ndemo = demo.cli:main [web]\n[gui_scripts]\nwin=demo:win\n"


def digest(body: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode().rstrip("=")


def record(files: dict[str, bytes]) -> bytes:
    rows = [f"{name},{digest(body)},{len(body)}\n" for name, body in files.items()]
    return "".join([*rows, "demo-1.0.dist-info/RECORD,,\n"]).encode()


def wheel(compression: int) -> bytes:
    files = {
        "demo/__init__.py": b"print('hello')\n" * 20,
        "demo-1.0.data/scripts/tool": b"#!python\n",
        "demo-1.0.dist-info/METADATA": METADATA,
        "demo-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "demo-1.0.dist-info/entry_points.txt": SCRIPTS,
    }
    files["demo-1.0.dist-info/RECORD"] = record(files)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return out.getvalue()


PAGE = b"""<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.4">
<meta name="pypi:project-status" content="archived"><base href="../files/"><!-- x --></head><body>
<a href="demo-1.0-py3-none-any.whl#sha256=%s" data-requires-python="&gt;=3.8" data-yanked="bad"
 data-core-metadata="true" data-upload-time="2024-01-01T00:00:00Z">demo</a><br/>
<a href='/x/demo-2.0.tar.gz' data-yanked>demo</a></body></html>""" % (b"0" * 64)
JSON = b"""{"meta": {"api-version": "1.4", "project-status": "archived"}, "name": "demo", "files": [
{"filename": "demo-1.0-py3-none-any.whl", "url": "x/demo-1.0-py3-none-any.whl", "hashes": {"sha256": "%s"},
 "requires-python": ">=3.8", "yanked": false, "size": 3, "upload-time": "2024-01-01T00:00:00.1Z",
 "core-metadata": {"sha256": "%s"}}], "versions": ["1.0"]}""" % (b"0" * 64, b"0" * 64)
LOCK = """lock-version = "1.0"
environments = ["sys_platform == 'linux'"]
requires-python = ">=3.9"
extras = ["web"]
dependency-groups = ["dev"]
default-groups = ["dev"]
created-by = "x"
[[packages]]
name = "demo"
version = "1.0"
marker = "'web' in extras or 'dev' in dependency_groups"
requires-python = ">=3.9"
dependencies = [{ name = "other" }]
index = "https://index.invalid/simple"
sdist = { name = "demo-1.0.tar.gz", url = "https://h/demo-1.0.tar.gz", size = 1, hashes = { sha256 = "ab" } }
wheels = [{ name = "demo-1.0-py3-none-any.whl", upload-time = 2024-01-01T00:00:00Z, path = "demo-1.0-py3-none-any.whl", hashes = { sha256 = "ab" } }]
[[packages]]
name = "other"
vcs = { type = "git", url = "https://h/r", requested-revision = "main", commit-id = "abc", subdirectory = "s" }
[[packages]]
name = "local"
directory = { path = "./x", editable = true }
[[packages]]
name = "direct"
archive = { path = "a.tar.gz", subdirectory = "b", hashes = { sha256 = "ab" } }
"""
SEEDS = {
    "version": ["1.0", "1!2.3.4rc1.post2.dev3+local.5", " v1.0-alpha_1 ", "2024.01-1"],
    "specifier": [">=1.0,<2|1.5", "~=1.4.2|1.4.3a1", "==1.*,!=1.2.*|1.2.post1", "===foo", "<1.0rc1|1.0a1", ">1.0|1.0+x"],
    "marker": ["python_version < '3.8' and (os_name == 'nt' or sys_platform != \"linux\")", "'a' in extras",
               "extra == 'x' and platform_release >= '20'", "python_version in '3.8 3.9'", "'3.' not in python_full_version",
               "implementation_version ~= '3.8.1' or '1' === platform.version", "'x' in dependency_groups"],
    "requirement": ["demo[a, b] (>=1.0,<2) ; python_version >= '3.8'", "x @ https://u:p@h/x-1.0.tar.gz#sha256=ab ; os_name == 'a'",
                    "A.b_c~=1.0,!=1.5.*,===1.0", "demo == 1.0 ; extra == 'x' or extra == 'y'"],
    "metadata": [METADATA, METADATA.replace(b"\n", b"\r\n"), b"Name: a\nVersion: 1\nSummary: a\n  b\n"],
    "record": [record({"a b.py": b"x", '"odd, name".py': b""}), b"a,md5=x,1\r\nb\n", SCRIPTS],
    "wheel": [wheel(zipfile.ZIP_STORED), wheel(zipfile.ZIP_DEFLATED)],
    "page": [PAGE, JSON],
    "pylock": [LOCK],
}

for target, seeds in SEEDS.items():
    folder = Path(sys.argv[1]) / target
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (folder / f"seed-{number}").write_bytes(seed.encode() if isinstance(seed, str) else seed)
