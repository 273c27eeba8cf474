#!/usr/bin/env bash
# Damages, kills and fails at random, in large numbers, and prints how many cases there were and what
# was lost. `make test` does the same a few times.
#
#   BLAST_TEST_SEED=7 scripts/crashes.sh      the same random numbers again
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo >/dev/null || export PATH="$HOME/.cargo/bin:$PATH"
export BLAST_TEST_DAMAGES=${BLAST_TEST_DAMAGES:-300} BLAST_TEST_CRASHES=${BLAST_TEST_CRASHES:-1000}
export BLAST_TEST_OPERATIONS=${BLAST_TEST_OPERATIONS:-10000} BLAST_TEST_ALL_FAILPOINTS=1

# Debug builds: the others have no failpoints.
echo "== failpoints"
cargo test --locked -p blast-store --test it -- --nocapture failpoints::at_every
cargo test --locked --test it -- --nocapture failpoints::
echo "== power cuts"
BLAST_TEST_POWER_CUTS=${BLAST_TEST_POWER_CUTS:-100000} cargo test --locked -p blast-store --test it -- \
    --nocapture power_cuts::whatever
echo "== kills at random"
cargo test --locked --test it -- --nocapture --exact \
    crashes::kills_at_random_leave_the_old_or_the_new_state
echo "== random operations"
cargo test --locked --test it -- --nocapture --exact \
    operations::any_operations_are_those_of_a_list_of_versions
echo "== damage on disk, repaired"
cargo test --locked --test it -- --nocapture --exact \
    repair::random_damage_is_mended_or_told_and_nothing_else_changes
