#!/usr/bin/env bash
# Damages, kills and fails at random, in large numbers, and prints how many cases there were and what
# was lost. `make test` does the same a few times.
#
#   BLAST_TEST_SEED=7 scripts/crashes.sh      the same random numbers again
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo >/dev/null || export PATH="$HOME/.cargo/bin:$PATH"
export BLAST_TEST_DAMAGES=${BLAST_TEST_DAMAGES:-300}

echo "== damage on disk, repaired"
cargo test --locked --test it -- --nocapture --exact \
    repair::random_damage_is_mended_or_told_and_nothing_else_changes
