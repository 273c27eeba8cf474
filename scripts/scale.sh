#!/usr/bin/env bash
# Measures the everyday commands in a home of 1,000 environments of 100 packages, 10,000 operations, a layer of
# 100,000 entries and 2 million blobs, beside a small one, and fails where cost grows with what is not
# touched. `make test` does the same with less of everything.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo >/dev/null || export PATH="$HOME/.cargo/bin:$PATH"
export BLAST_TEST_SCALE=full

cargo test --release --locked --test it -- --nocapture --exact scale::what_is_not_touched_costs_nothing
