#!/usr/bin/env bash
# Measures the everyday commands of the release build: median and slowest of many rounds, in
# milliseconds. Packages come from wheels that the script makes, so that no network is measured. Where uv
# is on the PATH, imports and walks in the view follow, beside uv's copy of the same environment; those packages
# come from the configured index.
#
#   ROUNDS=50 PYTHON=python3.12 scripts/bench.sh
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo >/dev/null || export PATH="$HOME/.cargo/bin:$PATH"
rounds=${ROUNDS:-30}
scripts=$PWD/scripts

cargo build --release --locked --quiet
target=$(cargo metadata --format-version 1 --no-deps --locked --offline |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
state=$(mktemp -d "${TMPDIR:-/tmp}/blast-bench-XXXXXX")
export BLAST_HOME=$state/home BLAST_CACHE=$state/cache XDG_RUNTIME_DIR=$state/run
export BLAST_FIND_LINKS=$state/wheels PATH="$target/release:$PATH"
unset VIRTUAL_ENV BLAST_ENV
mkdir -m 0700 "$XDG_RUNTIME_DIR"
cleanup() {
    cd /
    blast kill --all --force >/dev/null 2>&1 || true
    rm -rf --one-file-system "$state"
}
trap cleanup EXIT
cd "$state"

# Fifty packages of forty modules each, in two versions.
python3 - "$state/wheels" <<'PYTHON'
import base64, hashlib, os, sys, zipfile

folder = sys.argv[1]
os.makedirs(folder)
for number in range(50):
    for version in ("1.0", "2.0"):
        name = f"bench_{number}"
        info = f"{name}-{version}.dist-info"
        files = {f"{name}/m{i}.py": f"VALUE = {i}\nVERSION = '{version}'\n" * 20 for i in range(40)}
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
PYTHON

# measure TITLE PREPARE COMMAND: the first is not timed.
measure() {
    local title=$1 prepare=$2 command=$3 from to times=()
    for ((round = 0; round < rounds; round++)); do
        eval "$prepare" >/dev/null 2>&1
        from=${EPOCHREALTIME/[^0-9]/}
        eval "$command" >/dev/null 2>&1 || { echo "bench: $command failed" >&2; eval "$command"; }
        to=${EPOCHREALTIME/[^0-9]/}
        times+=($((to - from)))
    done
    mapfile -t times < <(printf '%s\n' "${times[@]}" | sort -n)
    printf '%-44s %9.2f %9.2f\n' "$title" \
        "$(as_ms "${times[rounds / 2]}")" "$(as_ms "${times[rounds - 1]}")"
}

as_ms() { printf '%d.%03d' "$(($1 / 1000))" "$(($1 % 1000))"; }

for number in {0..49}; do
    echo "bench-$number==1.0" >>old.txt
    echo "bench-$number==2.0" >>new.txt
done
install() { blast install --no-index --env "$1" -r "$2"; }

echo "blast $(blast --version | cut -d' ' -f2), Linux $(uname -r), $(nproc) processors, $rounds rounds"
printf '%-44s %9s %9s\n' "milliseconds" median slowest
blast start base --shell bash >/dev/null 2>&1
install base old.txt >/dev/null 2>&1
install base new.txt >/dev/null 2>&1
measure "start" "blast envs rm work || true" "blast start work --shell bash"
measure "install of 50 packages that are in the store" \
    "blast envs rm work; blast start work --shell bash" "install work old.txt"
measure "the same when nothing is to do" ":" "install work old.txt"
measure "upgrade of all 50" "install work old.txt" "install work new.txt"
measure "revert" "install work old.txt; install work new.txt" "blast revert --env work"
measure "save" "blast save --env work --delete one || true" "blast save --env work one"
measure "load" "install work new.txt" "blast load --env work one"
measure "list" ":" "blast list --env work"
measure "run -- true" ":" "blast run --env work -- true"
measure "envs rm" "blast start gone --shell bash; install gone old.txt" "blast envs rm gone"

unset BLAST_FIND_LINKS
if command -v uv >/dev/null; then
    "$scripts/bench-imports.py" --blast "$target/release/blast" --python "${PYTHON:-python3}" --repeat 7
else
    echo "imports and walks: not measured, as uv is not on the PATH"
fi
