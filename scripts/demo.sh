#!/usr/bin/env bash
# Shows the main job on real packages, each step with the time it took.
#
# All state is in a temporary folder that is removed at the end; nothing of the user's own blast
# is touched. Packages come from the registry that this machine's pip is set up for.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo >/dev/null || export PATH="$HOME/.cargo/bin:$PATH"

echo "== building blast (release)"
cargo build --release --locked
target=$(cargo metadata --format-version 1 --no-deps --locked --offline |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
export PATH="$target/release:$PATH"

state=$(mktemp -d "${TMPDIR:-/tmp}/blast-demo-XXXXXX")
export BLAST_HOME=$state/home BLAST_CACHE=$state/cache XDG_RUNTIME_DIR=$state/run
unset VIRTUAL_ENV BLAST_ENV
mkdir -m 0700 "$XDG_RUNTIME_DIR"
cleanup() {
    cd /
    blast kill --all --force >/dev/null 2>&1 || true
    rm -rf --one-file-system "$state"
}
trap cleanup EXIT

# step TITLE COMMAND...: shows the command, what it said, and how long it took.
step() {
    local title=$1 from to
    shift
    printf '\n\033[1m%s\033[0m\n$ %s\n' "$title" "${*//$state/\~demo}"
    from=${EPOCHREALTIME/[^0-9]/}
    "$@" 2>&1 | sed 's/^/  /'
    to=${EPOCHREALTIME/[^0-9]/}
    took "$((to - from))"
}

took() { printf '  -- %d.%03d ms\n' "$(($1 / 1000))" "$(($1 % 1000))"; }

size_of_store() { du -sh --apparent-size "$BLAST_HOME/store" | cut -f1; }

mkdir -p "$state/work"
cd "$state/work"
echo
echo "== the main job (state in $state, shown as ~demo)"

printf '\n\033[1m%s\033[0m\n$ %s\n' "An environment, live in this shell" "eval \"\$(blast start demo)\""
from=${EPOCHREALTIME/[^0-9]/}
script=$(blast start demo --shell bash)
eval "$script"
to=${EPOCHREALTIME/[^0-9]/}
printf '  VIRTUAL_ENV=%s\n' "${VIRTUAL_ENV/$state/\~demo}"
took "$((to - from))"

step "Real packages, fetched and installed" blast install flask requests
step "Imported through the view (first time)" \
    python -c 'import flask, requests; print(flask.__file__); print(requests.__version__)'
step "Imported again" python -c 'import flask, requests'
step "Another version" blast install flask==2.3.3
step "What runs now" python -c 'from importlib.metadata import version; print(version("flask"))'
step "Back at once" blast revert
step "What runs now" python -c 'from importlib.metadata import version; print(version("flask"))'

before=$(size_of_store)
step "A second environment ..." blast start second --shell bash >/dev/null
step "... with the same packages" blast install --env second flask requests
after=$(size_of_store)
printf '\n\033[1mWhat the second one cost on disk\033[0m\n  store before: %s, after: %s\n' "$before" "$after"

step "What is installed" blast list
step "What happened" blast log
step "All environments" blast envs
echo
echo "== done; everything is removed again"
