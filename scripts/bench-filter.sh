#!/bin/sh
# What the filter of the network costs, between namespaces of its own: one GiB and 301 short connections, three times, each
# beside the same without a filter. Needs a quiet machine and the right to make namespaces.
set -eu
cd "$(dirname "$0")/.."
exec cargo test --release -p blast-sandbox --test net -- \
    --ignored --exact measure::throughput_and_latency --nocapture
