#!/usr/bin/env python3
"""What a sandbox costs, by turns with the same without one, and whether the limits of disks hold.

    scripts/bench-sandbox.py --blast PROGRAM [--uv PROGRAM] [--rounds N] [--as USER]

Starts `python -c pass` plainly, by `blast run` at each level, by the environment's path and by `uv run`, in turn, in
every round; prints medians in milliseconds and, of each, the median of its ratios to the plain start of the same
round. Then, as root, reads and writes a file past the page cache under each limit of disks, which takes a file system on
a disk. `--as` does all of it as a user without privilege. Throughput and latency of the network's filter:
`scripts/bench-filter.sh`.
"""

import argparse
import os
import pwd
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blast", required=True)
    parser.add_argument("--uv")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--python", default="3.12", help="as blast start takes it; its home is an empty one here")
    parser.add_argument("--scratch", help="where files are written (default: the system's place for temporary files)")
    parser.add_argument("--as", dest="user", help="as this user, if you are root")
    return parser.parse_args()


def variables(root):
    own = {
        "HOME": "home", "BLAST_HOME": "data", "BLAST_CACHE": "cache", "XDG_RUNTIME_DIR": "run",
        "XDG_CONFIG_HOME": "config", "UV_CACHE_DIR": "uv",
    }
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    for name, folder in own.items():
        kept[name] = os.path.join(root, folder)
        os.makedirs(kept[name], mode=0o700, exist_ok=True)
    return kept


def become(name, root):
    user = pwd.getpwnam(name)
    os.chown(root, user.pw_uid, user.pw_gid)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


def took(command, env, folder):
    begin = time.perf_counter()
    subprocess.run(command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - begin) * 1000


def starts(args, env, project):
    blast, path = args.blast, os.path.join(project, ".venv/bin/python")
    plain = subprocess.run([blast, "run", "--", "python", "-c", "import os, sys; print(os.path.realpath(sys.executable))"],
                           env=env, cwd=project, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    nothing = ["python", "-c", "pass"]
    ways = {
        "plain": [plain, "-c", "pass"],
        "none": [blast, "run", "--sandbox", "none", "--", *nothing],
        "standard": [blast, "run", "--sandbox", "standard", "--", *nothing],
        "by path": [path, "-c", "pass"],
        "strict": [blast, "run", "--sandbox", "strict", "--", *nothing],
    }
    if args.uv:
        ways["uv run"] = [args.uv, "run", "--no-project", "--python", plain, "--", *nothing]
    times = {name: [] for name in ways}
    for number in range(args.rounds + 3):
        for name, command in ways.items():
            time.sleep(0.02)
            spent = took(command, env, project)
            # The first ones make what the others use.
            if number >= 3:
                times[name].append(spent)
    print("%-10s %8s %7s" % ("", "ms", "ratio"))
    for name, spent in times.items():
        ratios = [one / plain for one, plain in zip(spent, times["plain"])]
        print("%-10s %8.2f %7.2f" % (name, statistics.median(spent), statistics.median(ratios)))


DISK = """
import mmap, os, sys, time
what, size, block = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
flags = os.O_DIRECT | (os.O_RDONLY if what == "read" else os.O_WRONLY | os.O_CREAT)
file = os.open("block", flags, 0o600)
buffer = mmap.mmap(-1, block)
begin = time.perf_counter()
for _ in range(size // block):
    (os.readv if what == "read" else os.writev)(file, [buffer])
print(time.perf_counter() - begin)
"""


def disks(args, env, project):
    policy = os.path.join(project, "pyproject.toml")
    with open(policy) as file:
        before = file.read()

    def measured(what, size, block, line):
        with open(policy, "w") as file:
            file.write(before + ("[tool.blast.sandbox.resources]\n%s\n" % line if line else ""))
        command = [args.blast, "run", "--sandbox", "standard", "--allow-degraded", "io", "--",
                   "python", "-c", DISK, what, str(size), str(block)]
        done = subprocess.run(command, env=env, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            return None
        return float(done.stdout)

    for what in "write", "read":
        free = measured(what, 64 * MIB, MIB, "")
        held = measured(what, 64 * MIB, MIB, 'io-%s-bandwidth = "20M"' % what)
        few = measured(what, 4 * MIB, 4096, "io-%s-operations = 500" % what)
        if not (free and held and few):
            print("%s: no limits of disks here" % what)
            continue
        print("%s: %.0f MiB/s without a limit, %.1f with one of 20; %.0f operations/s with one of 500"
              % (what, 64 / free, 64 / held, 1024 / few))
    with open(policy, "w") as file:
        file.write(before)


def main():
    args = arguments()
    args.blast = os.path.abspath(args.blast)
    root = tempfile.mkdtemp(prefix="blast-bench-", dir=args.scratch)
    if args.user:
        become(args.user, root)
    env = variables(root)
    project = os.path.join(root, "project")
    os.mkdir(project)
    with open(os.path.join(project, "pyproject.toml"), "w") as file:
        file.write('[project]\nname = "bench"\nversion = "1"\n')
    try:
        subprocess.run([args.blast, "start", "--python", args.python, "--shell", "sh"], env=env, cwd=project,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        starts(args, env, project)
        if os.getuid() == 0:
            disks(args, env, project)
    finally:
        subprocess.run([args.blast, "kill", "--all", "--force"], env=env, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
