#!/usr/bin/env python3
"""Measures images beside `tar | zstd` of uv's environment with the same packages, and its unpacking.

    scripts/bench-image.py --blast target/release/blast --python python3.11 --requirements pins.txt \
        --index-url http://127.0.0.1:8000/simple/ --repeat 5

Level and threads of zstd are the same on both sides. Rounds are interleaved; figures are medians, ratios are medians of
the rounds' own ratios. Each load goes into a home of its own with a daemon that runs; the second load into
one that holds nine tenths of the image's packages. `durable` is unpacking followed by `sync`, which is what loading promises.
Prints a table with the bars that the project set itself.
"""

import argparse
import datetime
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

BARS = {"size": 1.0, "load": 0.5, "load of a tenth": 0.1}


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        raise SystemExit(f"bench-image: {command}: {done.stderr}")
    return done.stdout


def timed(command):
    """Milliseconds that a command takes to its end."""
    began = time.perf_counter()
    run(command)
    return (time.perf_counter() - began) * 1000


class Bench:
    def __init__(self, options, root):
        self.options = options
        self.blast = os.path.abspath(options.blast)
        self.root = root
        self.homes = 0
        for name in ("VIRTUAL_ENV", "BLAST_ENV", "PYTHONPATH", "PYTHONHOME"):
            os.environ.pop(name, None)

    def path(self, name):
        return os.path.join(self.root, name)

    def home(self):
        """Begins a home with a daemon."""
        self.homes += 1
        here = self.path(f"home-{self.homes}")
        for name in ("run", "home", "cache"):
            os.makedirs(f"{here}/{name}", 0o700)
        os.environ.update(XDG_RUNTIME_DIR=f"{here}/run", BLAST_HOME=f"{here}/home",
                          BLAST_CACHE=f"{here}/cache")
        run([self.blast, "envs"])

    def leave(self):
        run([self.blast, "kill", "--all", "--force"])
        shutil.rmtree(self.path(f"home-{self.homes}"))

    def make(self):
        options = self.options
        with open(options.requirements) as file:
            pins = [line.strip() for line in file if line.strip() and not line.startswith("#")]
        some = self.path("some.txt")
        with open(some, "w") as file:
            # Every tenth is missing, large and small ones alike.
            file.writelines(f"{pin}\n" for number, pin in enumerate(pins) if number % 10 != 5)
        index = ["--index-url", options.index_url] if options.index_url else []
        self.home()
        for name, pinned in (("whole", options.requirements), ("some", some)):
            run([self.blast, "start", name, "--python", options.python, "--shell", "bash"])
            run([self.blast, "install", "--no-bytecode", "--no-deps", *index, "--env", name, "-r",
                 os.path.abspath(pinned)])
        run([options.uv, "venv", "-q", "-p", options.python, self.path("uv")])
        run([options.uv, "pip", "install", "-q", "--no-deps", *index, "-p",
             self.path("uv/bin/python"), "-r", os.path.abspath(options.requirements)])
        run([self.blast, "image", "build", "some", "-o", self.path("some.blast"),
             "--level", str(options.level)])

    def shell(self, line):
        return timed(["bash", "-euo", "pipefail", "-c", line])

    def rounds(self):
        figures = {name: [] for name in (
            "tar | zstd", "image build", "unpack", "unpack, durable", "image load",
            "image load of a tenth")}
        level, threads = self.options.level, os.cpu_count()
        image = self.path("whole.blast")
        for _ in range(self.options.repeat):
            figures["tar | zstd"].append(self.shell(
                f"cd {self.root} && tar -cf - uv | zstd -{level} -T{threads} -q -f -o uv.tar.zst"))
            figures["image build"].append(timed(
                [self.blast, "image", "build", "whole", "-o", image, "--level", str(level)]))
        self.leave()
        for _ in range(self.options.repeat):
            os.sync()
            out = self.path("out")
            os.mkdir(out)
            took = self.shell(f"zstd -dcq {self.root}/uv.tar.zst | tar -C {out} -xf -")
            figures["unpack"].append(took)
            figures["unpack, durable"].append(took + timed(["sync", "-f", out]))
            shutil.rmtree(out)
            self.home()
            os.sync()
            load = [self.blast, "image", "load", "--no-bytecode"]
            figures["image load"].append(timed([*load, image]))
            self.leave()
            self.home()
            run([*load, self.path("some.blast")])
            os.sync()
            figures["image load of a tenth"].append(timed([*load, image]))
            self.leave()
        return figures


def report(bench, figures):
    options = bench.options
    version = run([bench.blast, "--version"]).split()[1]
    print(f"blast {version}, {run([options.uv, '--version']).strip()}, Linux {platform.release()}, "
          f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, {options.repeat} rounds, "
          f"zstd -{options.level}, {datetime.date.today().isoformat()}")
    for name, rounds in figures.items():
        print(f"{name:28} {statistics.median(rounds):9.0f} ms   {min(rounds):.0f} to {max(rounds):.0f}")
    ours = os.path.getsize(bench.path("whole.blast"))
    theirs = os.path.getsize(bench.path("uv.tar.zst"))
    print(f"{'size of tar.zst':28} {theirs / 1e6:9.1f} MB")
    print(f"{'size of image':28} {ours / 1e6:9.1f} MB")

    def ratio(one, other):
        return statistics.median(a / b for a, b in zip(figures[one], figures[other]))

    ratios = {
        "size": ours / theirs,
        "build": ratio("image build", "tar | zstd"),
        "load": ratio("image load", "unpack"),
        "load, to durable": ratio("image load", "unpack, durable"),
        "load of a tenth": ratio("image load of a tenth", "unpack"),
        "load of a tenth, to durable": ratio("image load of a tenth", "unpack, durable"),
    }
    for name, value in ratios.items():
        bar = BARS.get(name)
        verdict = "" if bar is None else f"   <= {bar}  {'met' if value <= bar else 'MISSED'}"
        print(f"{name:28} {value:9.2f}{verdict}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blast", default="target/release/blast")
    parser.add_argument("--uv", default="uv")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--requirements", required=True, help="pins of everything")
    parser.add_argument("--index-url")
    parser.add_argument("--level", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--scratch", help="a directory on the disk to measure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="blast-image-", dir=options.scratch) as root:
        bench = Bench(options, root)
        try:
            bench.make()
            figures = bench.rounds()
            report(bench, figures)
        finally:
            subprocess.run([bench.blast, "kill", "--all", "--force"], capture_output=True)


if __name__ == "__main__":
    main()
