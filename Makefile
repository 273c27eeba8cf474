# The recipes that people type and that .ci/run calls. The logic is in scripts/.

.PHONY: help demo test check bench bench-history bench-image fuzz kills scale cpython crashes deny

help:
	@echo 'make demo    install what the host lacks, build, and show the main job on real packages'
	@echo 'make test    install what the tests need, and run every check and every test'
	@echo 'make check   format and lints only'
	@echo 'make bench   measure the release build on this machine'
	@echo 'make bench-history  measure revert, redo, save and load against 1 to 10,000 operations'
	@echo 'make bench-image PINS=FILE    images beside tar | zstd (needs uv, zstd and an index; ARGS=--help)'
	@echo 'make fuzz    run every fuzz target for ten minutes (SECONDS_EACH=60 for less)'
	@echo 'make kills   kill the daemon 200 times at random while programs use the view'
	@echo 'make crashes damage, kill and fail at random, in large numbers'
	@echo 'make scale   measure homes of 1,000 environments, 10,000 operations, 2 million blobs'
	@echo 'make cpython run the import tests of CPython itself by an environment, beside a plain venv (PYTHON=…)'
	@echo 'make deny    licences, advisories and the arrows between crates (needs cargo-deny)'

demo:
	@scripts/setup.sh demo
	@scripts/demo.sh

test:
	@scripts/setup.sh test
	@scripts/test.sh

check:
	@scripts/check.sh

bench:
	@scripts/setup.sh demo
	@scripts/bench.sh

bench-history:
	@scripts/setup.sh demo
	@cargo build --release --locked --quiet
	@scripts/bench-history.py --blast target/release/blast

bench-image:
	@scripts/setup.sh demo
	cargo build --release --locked --quiet
	@scripts/bench-image.py --requirements $(PINS) $(ARGS)

fuzz:
	@scripts/setup.sh demo
	@scripts/fuzz.sh $(or $(SECONDS_EACH),600)

kills:
	@scripts/setup.sh test
	@scripts/kills.sh

crashes:
	@scripts/setup.sh test
	@scripts/crashes.sh

scale:
	@scripts/setup.sh test
	@scripts/scale.sh

cpython:
	@scripts/setup.sh demo
	@scripts/cpython.sh

deny:
	cargo deny --workspace check
