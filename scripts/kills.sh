#!/usr/bin/env bash
# Kills the daemon at random many times while programs use the view, and says how long the longest of
# their waits was. `make test` does the same a few times.
#
#   BLAST_TEST_KILLS=1000 scripts/kills.sh
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo >/dev/null || export PATH="$HOME/.cargo/bin:$PATH"
export BLAST_TEST_KILLS=${BLAST_TEST_KILLS:-200} BLAST_TEST_REQUIRE=${BLAST_TEST_REQUIRE:-resend}

# Release, since a debug build takes several times as long to start.
cargo test --release --locked --test it -- --nocapture --exact \
    succession_kills::kills_at_random_are_noticed_by_no_program
