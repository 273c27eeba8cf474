#!/usr/bin/env bash
# Runs CPython's own tests of imports and start-up by an environment's interpreter and by a plain virtual
# environment's of the same Python, and names the cases that only the first fails.
#
#   PYTHON=python3.12 TESTS='test_import test_site' scripts/cpython.sh
#
# PYTHON needs its `test` package (distributions have it apart, such as libpython3-testsuite). BLAST names a binary
# that is built already. Exit status 1: a case is lost.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo >/dev/null || export PATH="$HOME/.cargo/bin:$PATH"
tests=${TESTS:-test_importlib test_import test_pkgutil test_zipimport test_runpy test_site test_venv test_compileall}
python=$("${PYTHON:-python3}" -c 'import sys; print(sys.executable)')
if ! "$python" -c 'import test.libregrtest' 2>/dev/null; then
    echo "cpython: $python has no package \`test\`; name another by PYTHON" >&2
    exit 2
fi
blast=${BLAST:-}
if [[ -z $blast ]]; then
    cargo build --release --locked --quiet
    blast=$(cargo metadata --format-version 1 --no-deps --locked --offline |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/release/blast
fi

state=$(mktemp -d "${TMPDIR:-/tmp}/blast-cpython-XXXXXX")
export BLAST_HOME=$state/home BLAST_CACHE=$state/cache XDG_RUNTIME_DIR=$state/run
unset VIRTUAL_ENV BLAST_ENV PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED
mkdir -m 0700 "$XDG_RUNTIME_DIR"
cleanup() {
    cd /
    "$blast" kill --all --force >/dev/null 2>&1 || true
    rm -rf --one-file-system "$state"
}
trap cleanup EXIT

"$blast" start cpython --python "$python" --shell bash >/dev/null 2>&1
"$blast" run --env cpython -- true
"$python" -m venv --without-pip "$state/plain"

# run NAME COMMAND…: the tests' cases in a folder of their own, results as JUnit's XML there: an environment's interpreter
# is in a sandbox, and what it writes elsewhere does not stay.
run() {
    mkdir "$state/$1"
    local from=$SECONDS status=0
    # The tests' own status says whether any case fails, which is compared below.
    # shellcheck disable=SC2086
    (cd "$state/$1" && "${@:2}" -m test --junit-xml "$state/$1/results.xml" $tests) >"$state/$1.log" 2>&1 || status=$?
    if [[ ! -s $state/$1/results.xml ]]; then
        tail -n 20 "$state/$1.log" >&2
        echo "cpython: the tests by the interpreter of $1 came to no end (status $status)" >&2
        exit 2
    fi
    echo "$1: $((SECONDS - from)) s, status $status"
}
# The cases unlink what is not there from every entry of sys.path and expect ENOENT. A sandbox shows the interpreter's
# own folder read-only (EROFS); what is compared here is the environment, so that folder is as it is for the venv.
stdlib=$("$python" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
run environment "$blast" run --env cpython --read-write "$stdlib" -- python
run venv "$state/plain/bin/python"

"$python" - "$state" "$("$python" --version)" <<'PYTHON'
import sys
import xml.etree.ElementTree as xml

state, version = sys.argv[1:]


def cases(name):
    """Each case's answer, by its full name."""
    answers = {}
    for case in xml.parse(f"{state}/{name}/results.xml").iter("testcase"):
        failed = case.find("failure") is not None or case.find("error") is not None
        skipped = case.find("skipped") is not None or case.get("result") == "skipped"
        name = case.get("name")
        answers[name] = "failed" if failed else "skipped" if skipped else "passed"
    return answers


ours, theirs = cases("environment"), cases("venv")
for name, answers in [("environment", ours), ("venv", theirs)]:
    count = {word: list(answers.values()).count(word) for word in ("passed", "failed", "skipped")}
    print(f"{name}: {version}: {len(answers)} cases,", ", ".join(f"{n} {word}" for word, n in count.items()))
lost = [name for name, answer in theirs.items() if answer == "passed" and ours.get(name) != "passed"]
lost += [name for name, answer in ours.items() if answer == "failed" and name not in theirs]
for name in lost:
    print(f"lost: {name} ({ours.get(name, 'did not run')})")
print(f"{len(lost)} cases lost against a plain venv")
sys.exit(bool(lost) or not ours)
PYTHON
