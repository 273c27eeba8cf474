#!/usr/bin/env bash
# Every check and every test.
#
#   BLAST_TEST_OFFLINE=1          skip what talks to a package registry (a visible skip)
#   BLAST_TEST_REQUIRE=fuse,zsh   fail where the host lacks these, in place of skipping
#   BLAST_TEST_VIEW=files         whole commands with environments as plain files only
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo >/dev/null || export PATH="$HOME/.cargo/bin:$PATH"

# Tests of whole commands that look at environments: they run a second time, with plain files.
seeing=(activate concurrency envs history kill project resilience run snapshots start status store
    unprivileged view)

skips=$(mktemp)
export BLAST_TEST_SKIPS=$skips
trap 'rm -f "$skips"' EXIT

scripts/check.sh
if cargo nextest --version >/dev/null 2>&1; then
    echo "== tests (nextest)"
    cargo nextest run --workspace --locked
    if [[ ${BLAST_TEST_VIEW:-} != files ]]; then
        echo "== tests with plain files (nextest)"
        modules=$(IFS='|' && echo "${seeing[*]}")
        BLAST_TEST_VIEW=files cargo nextest run --package blast --test it --locked \
            -E "test(/^($modules)::/)"
    fi
else
    echo "== tests"
    # One binary's failure must not hide another's. Tests of commands wait for their daemons, so
    # a few more than there are processors keep these busy.
    RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) + 2))} \
        cargo test --workspace --locked --no-fail-fast --lib --bins --tests
    if [[ ${BLAST_TEST_VIEW:-} != files ]]; then
        echo "== tests with plain files"
        BLAST_TEST_VIEW=files RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) + 2))} \
            cargo test --package blast --test it --locked --no-fail-fast -- "${seeing[@]/%/::}"
    fi
fi
echo "== documentation"
cargo test --workspace --locked --doc
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --locked --no-deps --document-private-items --quiet
if [[ -s $skips ]]; then
    echo "== skipped"
    sort -u "$skips"
fi
echo "== all checks passed"
