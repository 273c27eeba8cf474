#!/usr/bin/env python3
"""Measures what moves between states cost: revert, redo, save and load, with 1 to 10,000 operations
behind them and 10 to 300 packages in the environment.

Packages are wheels that the script makes; nothing is asked of a network. The history is made of
snapshots and of changes of one small package, so that every operation is a real one. Each figure is
the median and the slowest of many rounds, in milliseconds: the whole command as a person waits for it,
and what of it the daemon took, which is dominated by one durable write. That write alone is measured
beside them, with `fdatasync` of a page on the same file system.

    scripts/bench-history.py [--blast PATH] [--rounds N] [--operations 1,100,10000] [--packages 10,300]
"""

import argparse
import base64
import hashlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile


def wheel(folder, name, version, modules):
    """A pure wheel of so many small modules."""
    info = f"{name}-{version}.dist-info"
    files = {f"{name}/m{i}.py": f"VALUE = {i}\nVERSION = '{version}'\n" for i in range(modules)}
    files[f"{name}/__init__.py"] = ""
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    rows = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
        rows.append(f"{path},sha256={digest.decode().rstrip('=')},{len(text)}")
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    with zipfile.ZipFile(f"{folder}/{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


class World:
    """A home of its own with one daemon."""

    def __init__(self, blast, packages):
        self.blast = blast
        self.packages = packages
        self.root = tempfile.mkdtemp(prefix="blast-history-")
        wheels = f"{self.root}/wheels"
        os.makedirs(wheels)
        os.makedirs(f"{self.root}/run", mode=0o700)
        for number in range(packages - 1):
            wheel(wheels, f"bench_{number}", "1.0", 20)
        for version in ("1.0", "2.0"):
            wheel(wheels, "turning", version, 20)
        drop = ("VIRTUAL_ENV", "BLAST_ENV", "BLAST_INDEX_URL", "BLAST_VIEW")
        self.variables = {k: v for k, v in os.environ.items() if k not in drop} | {
            "BLAST_HOME": f"{self.root}/home",
            "BLAST_CACHE": f"{self.root}/cache",
            "XDG_RUNTIME_DIR": f"{self.root}/run",
            "BLAST_FIND_LINKS": wheels,
        }
        self.run("start", "demo", "--shell", "bash")
        names = [f"bench-{number}==1.0" for number in range(packages - 1)]
        self.install("turning==1.0", *names)

    def run(self, *words):
        command = [self.blast, *words]
        done = subprocess.run(command, env=self.variables, cwd=self.root, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: {done.stderr}")
        return done

    def on(self, command, *words):
        return self.run(command, "--env", "demo", *words)

    def install(self, *requirements):
        return self.on("install", "--no-index", "--no-bytecode", *requirements)

    def operations(self):
        return json.loads(self.on("log", "--json", "-n", "1").stdout)["operations"][0]["id"]

    def ask(self, request):
        """Asks the daemon directly, as thousands of processes would take too long."""
        envelope = {"v": 1, "build": "0", "home": f"{self.root}/home", "cache": f"{self.root}/cache",
                    "command": ["bench-history"], "request": request}
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"{self.root}/run/blast/daemon.sock")
            connection.sendall(json.dumps(envelope).encode() + b"\n")
            lines = connection.makefile().read().splitlines()
        if json.loads(lines[-1])["frame"] != "reply":
            sys.exit(f"{request}: {lines[-1]}")

    def grow(self, operations):
        """Makes the history so long: saves, and now and then a step back and forth."""
        there = self.operations()
        while there < operations:
            if there % 10 < 8 or there + 2 > operations:
                name = f"filler-{there % 50}"
                self.ask({"op": "save", "env": "demo", "name": name, "dry_run": False})
                there += 1
            else:
                for step in ("undo", "redo"):
                    self.ask({"op": "move", "env": "demo", "target": {"to": step}, "dry_run": False})
                there += 2
        return self.operations()

    def close(self):
        self.run("kill", "--all", "--force")
        shutil.rmtree(self.root, ignore_errors=True)


def daemon_ms(done):
    """What the daemon says it took: `(2 packages, 3.4 ms)`; none for what does not say."""
    text = done.stderr.rpartition("packages, ")[2] or done.stderr.rpartition("package, ")[2]
    try:
        return float(text.split(" ms")[0])
    except ValueError:
        return None


def measure(world, rounds):
    """Whole commands and the daemon's part, in milliseconds, by command."""
    state = {"revert": [], "redo": [], "save": [], "load": [], "floor": []}
    inside = {"revert": [], "redo": [], "load": []}

    def timed(name, *words):
        began = time.perf_counter()
        done = world.on(*words)
        state[name].append((time.perf_counter() - began) * 1000)
        told = daemon_ms(done)
        if name in inside and told is not None:
            inside[name].append(told)

    world.install("turning==1.0")
    world.on("save", "old")
    for _ in range(rounds):
        world.install("turning==2.0")
        timed("revert", "revert")
        timed("redo", "redo")
        timed("save", "save", "new")
        timed("load", "load", "old")
        began = time.perf_counter()
        world.on("list", "--json")
        state["floor"].append((time.perf_counter() - began) * 1000)
    return state, inside


def one_write(folder, rounds):
    """One page written in place and made durable, in milliseconds."""
    path = f"{folder}/page"
    took = []
    with open(path, "wb") as file:
        file.write(b"\0" * 65536)
        file.flush()
        os.fsync(file.fileno())
        for number in range(rounds):
            began = time.perf_counter()
            os.pwrite(file.fileno(), bytes([number % 256]) * 4096, 4096 * (number % 16))
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return took


def row(label, times):
    ordered = sorted(times)
    return f"{label:40} {statistics.median(ordered):8.1f} {ordered[-1]:9.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blast", default="blast")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--operations", default="1,100,1000,10000")
    parser.add_argument("--packages", default="10,100,300")
    options = parser.parse_args()
    blast = shutil.which(options.blast) or sys.exit(f"no {options.blast}")
    blast = os.path.abspath(blast)
    numbers = lambda text: [int(number) for number in text.split(",")]
    lengths, sizes = numbers(options.operations), numbers(options.packages)
    version = subprocess.run([blast, "--version"], capture_output=True, text=True).stdout.strip()
    load = os.getloadavg()[0]
    print(f"{version}, Linux {os.uname().release}, {os.cpu_count()} processors, load {load:.1f}, "
          f"{options.rounds} rounds")
    print(f"{'milliseconds':40} {'median':>8} {'slowest':>9}")
    cases = [(sizes[0], length) for length in lengths] + [(size, lengths[0]) for size in sizes[1:]]
    world, medians = None, {}
    try:
        for size, length in cases:
            if world is None or world.packages != size:
                if world:
                    world.close()
                world = World(blast, size)
            there = world.grow(length)
            state, inside = measure(world, options.rounds)
            print(f"\n{size} packages, {there} operations before")
            for name, times in state.items():
                label = "list (what any command costs)" if name == "floor" else name
                print(row(f"  {label}", times))
                medians.setdefault(name, []).append(statistics.median(times))
                if inside.get(name):
                    print(row(f"  {name}, in the daemon", inside[name]))
                    inner = medians.setdefault(f"{name}, in the daemon", [])
                    inner.append(statistics.median(inside[name]))
        print("\n" + row("one durable write of a page", one_write(world.root, 50)))
        for name, found in medians.items():
            print(f"{name}: medians from {min(found):.1f} to {max(found):.1f} ms")
    finally:
        if world:
            world.close()


if __name__ == "__main__":
    main()
