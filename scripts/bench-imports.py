#!/usr/bin/env python3
"""Measures imports and walks in the view beside uv's copy of the same environment.

    scripts/bench-imports.py --blast target/release/blast --python python3.12 --repeat 7

Makes one environment with blast (bytecode compiled), the same with uv (`--compile-bytecode`) and a plain copy of uv's
(`native`), all with the versions that blast chose, from the configured index. Rounds are interleaved, and every
other one goes backwards, so that a busy minute hits all alike; figures are medians, ratios are medians of the rounds' own
ratios. What the ratio of the two copies to each other is off 1 is what the machine alone makes of a figure.
An import is timed by the interpreter that does it: what entering the sandbox adds to its start, which has a
bar of its own, is measured by `bench-sandbox.py`.
Prints a table with the bars that the project set itself, and with `--json FILE` writes all of it.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

PACKAGES = ["pandas", "scikit-learn", "matplotlib", "sympy", "django"]
# Nobody needs it, so that it can come and go.
SWAPPED = "iniconfig"
MODULES = ["pandas", "sklearn", "matplotlib.pyplot", "sympy", "django"]
FIRST = "pandas"
# Largest ratio to uv, or largest difference to it in milliseconds.
BARS = {f"import {name}": 1.10 for name in MODULES}
BARS |= {"find": 1.1, "du": 1.1, "grep -r": 1.1, "read all files": 1.6}
MORE = {"first import after a mount": 70, "first import after a swap": 30}

READ_ALL = """
import os, sys
for folder, _, files in os.walk(sys.argv[1]):
    for name in files:
        with open(os.path.join(folder, name), 'rb', buffering=0) as file:
            while file.read(1 << 20):
                pass
"""


IMPORT = """
import time
began = time.perf_counter()
import {}
print((time.perf_counter() - began) * 1000)
"""


def importing(prefix, module):
    """A command that prints the milliseconds of an import."""
    return [f"{prefix}/bin/python", "-c", IMPORT.format(module)]


def timed(command):
    """Milliseconds that a command takes to its end, or says that it took."""
    began = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    took = (time.perf_counter() - began) * 1000
    if command[0].endswith("/bin/python") and not done.returncode and done.stdout:
        took = float(done.stdout)
    # grep says 1 where nothing matches.
    if done.returncode not in ((0, 1) if command[0] == "grep" else (0,)):
        raise SystemExit(f"bench-imports: {command}: {done.stderr}")
    return took


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        raise SystemExit(f"bench-imports: {command}: {done.stderr}")
    return done.stdout


class Bench:
    def __init__(self, options, root):
        self.repeat = options.repeat
        self.blast = os.path.abspath(options.blast)
        self.python = options.python
        self.root = root
        self.prefixes = {}
        for name in ("run", "home", "cache"):
            os.mkdir(os.path.join(root, name), 0o700)
        os.environ.update(XDG_RUNTIME_DIR=f"{root}/run", BLAST_HOME=f"{root}/home",
                          BLAST_CACHE=f"{root}/cache", MPLCONFIGDIR=f"{root}/matplotlib")
        # Bytecode that the measured programs write would change what the next ones find.
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        for name in ("VIRTUAL_ENV", "BLAST_ENV", "PYTHONPATH", "PYTHONHOME"):
            os.environ.pop(name, None)

    def make(self):
        run([self.blast, "start", "bench", "--python", self.python, "--shell", "bash"])
        run([self.blast, "install", "--env", "bench", "--compile-bytecode", *PACKAGES, SWAPPED])
        listed = json.loads(run([self.blast, "list", "--env", "bench", "--json"]))
        pins = [f"{item['name']}=={item['version']}" for item in listed["packages"]]
        uv = f"{self.root}/uv"
        run(["uv", "venv", "--quiet", "--python", self.python, uv])
        run(["uv", "pip", "install", "--quiet", "--compile-bytecode", "--no-deps",
             "--python", f"{uv}/bin/python", *pins])
        shutil.copytree(uv, f"{self.root}/native", symlinks=True)
        self.prefixes = {"blast": f"{self.root}/home/live/bench", "uv": uv,
                         "native": f"{self.root}/native"}
        run([self.blast, "run", "--env", "bench", "--", "true"])
        return pins

    def site(self, prefix):
        lib = os.path.join(self.prefixes[prefix], "lib")
        return os.path.join(lib, os.listdir(lib)[0], "site-packages")

    def commands(self):
        """Name of a measure, and its command for one prefix."""
        for module in MODULES:
            yield f"import {module}", lambda of, module=module: importing(self.prefixes[of], module)
        yield "find", lambda of: ["find", self.site(of), "-type", "f", "-size", "+1"]
        yield "du", lambda of: ["du", "-s", self.site(of)]
        yield "grep -r", lambda of: ["grep", "-rc", "no such words", self.site(of)]
        yield "read all files", lambda of: [sys.executable, "-S", "-c", READ_ALL, self.site(of)]

    def warm(self, name, command):
        samples = {of: [] for of in self.prefixes}
        for of in self.prefixes:
            timed(command(of))
        for number in range(self.repeat):
            order = list(self.prefixes)
            for of in reversed(order) if number % 2 else order:
                samples[of].append(timed(command(of)))
        return self.summary(name, samples)

    def first(self, name, prepare):
        """The first import after something, beside a warm one of uv's."""
        samples = {"blast": [], "uv": []}
        command = {of: importing(self.prefixes[of], FIRST) for of in samples}
        for _ in range(self.repeat):
            prepare()
            for of in samples:
                samples[of].append(timed(command[of]))
        return self.summary(name, samples)

    def remount(self):
        run([self.blast, "kill", "--all", "--force"])
        run([self.blast, "run", "--env", "bench", "--", "true"])

    def swap(self):
        # The newest of the operations is the removal of a small package or its return.
        self.removed = not getattr(self, "removed", False)
        word = ["remove", SWAPPED] if self.removed else ["revert"]
        run([self.blast, *word, "--env", "bench"])

    def summary(self, name, samples):
        row = {"measure": name, "samples_ms": samples}
        row["median_ms"] = {of: statistics.median(values) for of, values in samples.items()}
        for of in samples:
            if of != "blast":
                ratios = [a / b for a, b in zip(samples["blast"], samples[of])]
                row[f"ratio_{of}"] = statistics.median(ratios)
        row["more_ms"] = statistics.median(a - b for a, b in zip(samples["blast"], samples["uv"]))
        if name in BARS:
            row["bar"], row["met"] = f"<= {BARS[name]:.2f}", row["ratio_uv"] <= BARS[name]
        else:
            row["bar"], row["met"] = f"+{MORE[name]} ms", row["more_ms"] <= MORE[name]
        if "native" in samples:
            row["copies"] = statistics.median(a / b for a, b in zip(samples["uv"], samples["native"]))
        show(row)
        return row


def show(row):
    median = row["median_ms"]
    native = f"{median['native']:10.0f}" if "native" in median else " " * 9 + "-"
    ratio = f"{row['ratio_native']:10.2f}" if "native" in median else " " * 9 + "-"
    copies = f"{row['copies']:10.2f}" if "native" in median else " " * 9 + "-"
    print(f"{row['measure']:28} {median['blast']:8.0f} {median['uv']:8.0f} {native}"
          f" {row['ratio_uv']:8.2f} {ratio} {copies} {row['more_ms']:+9.0f}  {row['bar']:8}"
          f" {'met' if row['met'] else 'MISSED'}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blast", default="blast", help="the binary to measure")
    parser.add_argument("--python", default="python3.12", help="the interpreter of all environments")
    parser.add_argument("--repeat", type=int, default=7, help="interleaved rounds per measure")
    parser.add_argument("--only", metavar="TEXT", default="", help="measures with this in their name")
    parser.add_argument("--json", metavar="FILE", help="write all samples here")
    options = parser.parse_args()
    options.python = shutil.which(options.python) or options.python
    options.python = run([options.python, "-c", "import sys; print(sys.executable)"]).strip()
    options.blast = shutil.which(options.blast) or options.blast
    if not shutil.which("uv"):
        raise SystemExit("bench-imports: uv is not on PATH; install it (`pip install uv`) to compare with it")
    if options.repeat < 1:
        parser.error("--repeat must be at least 1")
    root = tempfile.mkdtemp(prefix="blast-imports-")
    bench = Bench(options, root)
    try:
        pins = bench.make()
        result = {
            "schema": 1, "date": datetime.date.today().isoformat(), "kernel": platform.release(),
            "processors": os.cpu_count(), "load": os.getloadavg()[0], "repeat": options.repeat,
            "blast": run([bench.blast, "--version"]).strip(), "uv": run(["uv", "--version"]).strip(),
            "python": run([options.python, "--version"]).strip(), "packages": pins,
        }
        print(f"{result['blast']}, {result['uv']}, {result['python']}, Linux {result['kernel']},"
              f" {result['processors']} processors, load {result['load']:.1f}, {options.repeat} rounds")
        print(f"{'milliseconds':28} {'blast':>8} {'uv':>8} {'native':>10} {'to uv':>8} {'to native':>10}"
              f" {'of copies':>10} {'more':>9}  bar", flush=True)
        result["rows"] = [bench.warm(name, command) for name, command in bench.commands()
                          if options.only in name]
        for name, prepare in (("first import after a swap", bench.swap),
                              ("first import after a mount", bench.remount)):
            if options.only in name:
                result["rows"].append(bench.first(name, prepare))
        if options.json:
            with open(options.json, "w") as file:
                json.dump(result, file, indent=1)
    finally:
        subprocess.run([bench.blast, "kill", "--all", "--force"], capture_output=True)
        mounts = open("/proc/self/mounts").read()
        if root in mounts:
            print(f"bench-imports: {root} is still mounted and is left alone", file=sys.stderr)
        else:
            shutil.rmtree(root)


if __name__ == "__main__":
    main()
