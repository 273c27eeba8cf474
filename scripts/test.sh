#!/usr/bin/env bash
# Every check and every test.
#
#   BLAST_TEST_OFFLINE=1          skip what talks to a package registry (a visible skip)
#   BLAST_TEST_REQUIRE=fuse,zsh   fail where the host lacks these, in place of skipping
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo >/dev/null || export PATH="$HOME/.cargo/bin:$PATH"

skips=$(mktemp)
export BLAST_TEST_SKIPS=$skips
trap 'rm -f "$skips"' EXIT

scripts/check.sh
if cargo nextest --version >/dev/null 2>&1; then
    echo "== tests (nextest)"
    cargo nextest run --workspace --locked
else
    echo "== tests"
    # One binary's failure must not hide another's. Tests of commands wait for their daemons, so
    # a few more than there are processors keep these busy.
    RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) + 2))} \
        cargo test --workspace --locked --no-fail-fast --lib --bins --tests
fi
echo "== documentation"
cargo test --workspace --locked --doc
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --locked --no-deps --document-private-items --quiet
if [[ -s $skips ]]; then
    echo "== skipped"
    sort -u "$skips"
fi
echo "== all checks passed"
