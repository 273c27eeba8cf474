#!/usr/bin/env bash
# Builds the fuzz targets with the pinned compiler and runs them in turn: fuzz.sh [SECONDS [TARGET...]]
# A finding stops its target, is shown, and makes the whole end with 1; see fuzz/README.md.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

seconds=${1:-600}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    targets=(version specifier marker requirement metadata record wheel page pylock)
fi

host=$(rustc -vV | sed -n 's/^host: //p')
# What cargo-fuzz would set, without a sanitizer: the code has no unsafe block to watch over.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
echo "== build"
# Not locked: a dependency that a crate takes on reaches the lock of this folder by the next build.
cargo build --release --target "$host"
python3 seeds.py target/seeds

failed=0
for target in "${targets[@]}"; do
    echo "== $target, $seconds s"
    mkdir -p "target/corpus/$target" "target/findings/$target"
    # The last lines hold the number of executions, or the finding.
    "target/$host/release/$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
        -max_len=8192 -print_final_stats=1 -artifact_prefix="target/findings/$target/" \
        "target/corpus/$target" "target/seeds/$target" 2>"target/findings/$target.log" || failed=1
    tail -n 12 "target/findings/$target.log"
done
exit $failed
