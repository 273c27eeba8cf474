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

if [[ -t 1 ]]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi

title() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }

# A command as one would type it.
typed() {
    local word line='$'
    for word in "$@"; do
        if [[ $word == *[\ \"\;]* ]]; then line+=" '$word'"; else line+=" $word"; fi
    done
    printf '%s\n' "$line"
}

# What a command says, indented, with the temporary folder by a short name.
indented() { sed -e "s|$state|~demo|g" -e 's/^/  /'; }

# step TITLE COMMAND...: shows the command, what it said, and how long it took.
step() {
    local from to
    title "$1"
    shift
    typed "$@"
    from=${EPOCHREALTIME/[^0-9]/}
    "$@" 2>&1 | indented
    to=${EPOCHREALTIME/[^0-9]/}
    took "$((to - from))"
}

took() { printf '  -- %d.%03d ms\n' "$(($1 / 1000))" "$(($1 % 1000))"; }

size_of_store() { du -sk --apparent-size "$BLAST_HOME/store" | cut -f1; }

mkdir -p "$state/work"
cd "$state/work"
echo
echo "== the main job (state in $state, shown as ~demo)"

title "An environment, live in this shell"
# shellcheck disable=SC2016 # shown as one would type it
echo '$ eval "$(blast start demo)"'
from=${EPOCHREALTIME/[^0-9]/}
script=$(blast start demo --shell bash 2>"$state/said")
eval "$script"
to=${EPOCHREALTIME/[^0-9]/}
{ cat "$state/said" && echo "VIRTUAL_ENV=$VIRTUAL_ENV"; } | indented
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
blast start second --shell bash >/dev/null 2>&1
step "The same packages in a second environment" blast install --env second flask requests
title "What the second one cost on disk"
after=$(size_of_store)
echo "  $((after - before)) kB (the store holds $after kB)"

step "What is installed" blast list
step "What happened" blast log
step "All environments" blast envs
echo
echo "== done; everything is removed again"
