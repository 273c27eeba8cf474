#!/usr/bin/env bash
# Installs what this machine lacks, and says what it did.
#
#   scripts/setup.sh demo    to build blast and to mount its view
#   scripts/setup.sh test    that, and what the tests use
#
# Works as root, as a user with sudo, and as a user without, who is told what to ask for. It
# installs Debian packages only; elsewhere it says what is missing.
set -euo pipefail

purpose=${1:-demo}
case $purpose in
demo | test) ;;
*)
    echo "setup: '$purpose' is neither demo nor test" >&2
    exit 2
    ;;
esac

say() { echo "setup: $*"; }
have() { command -v "$1" >/dev/null 2>&1; }

# Whether there is a Python that blast supports and that can make a plain environment. One that
# lies in a closed home does not do for tests that act as another user.
python_works() {
    local python=$1
    have "$python" &&
        "$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 8) <= sys.version_info[:2] <= (3, 14))' \
            >/dev/null 2>&1
}

missing=()
have cc || missing+=(build-essential)
have fusermount3 || missing+=(fuse3)
[[ -e /etc/ssl/certs/ca-certificates.crt || -e /etc/pki/tls/certs/ca-bundle.crt ]] ||
    missing+=(ca-certificates)
if [[ $purpose == test ]]; then
    python_works /usr/bin/python3 || missing+=(python3 python3-venv)
    have zsh || missing+=(zsh)
    have fish || missing+=(fish)
    have unshare || missing+=(util-linux)
    have strace || missing+=(strace)
else
    python_works python3 || python_works /usr/bin/python3 || missing+=(python3 python3-venv)
fi

install_packages() {
    local as_root=()
    if ! have apt-get; then
        say "this machine lacks: $* (names as in Debian); install them and try again" >&2
        exit 2
    fi
    if ((EUID != 0)); then
        if ! have sudo; then
            say "this machine lacks: $*" >&2
            say "ask somebody with the right to: apt-get install $*" >&2
            exit 2
        fi
        as_root=(sudo)
        say "asking sudo for the right to install packages"
    fi
    say "installing: $*"
    "${as_root[@]}" apt-get update -q >/dev/null
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "$@" >/dev/null
    say "installed: $*"
}

((${#missing[@]} == 0)) || install_packages "${missing[@]}"

# rustup puts cargo here, and a shell that is no login shell may not know.
have cargo || export PATH="$HOME/.cargo/bin:$PATH"
if ! have cargo; then
    say "there is no Rust here: install it with rustup (or put cargo on PATH) and try again" >&2
    exit 2
fi
# Where rustup does not fetch the pinned toolchain by itself, it is asked to.
if ! cargo --version >/dev/null 2>&1 && have rustup; then
    say "installing the toolchain that rust-toolchain.toml names"
    rustup toolchain install >/dev/null
fi
if [[ $purpose == test ]]; then
    for component in fmt:rustfmt clippy:clippy; do
        if ! cargo "${component%%:*}" --version >/dev/null 2>&1; then
            have rustup || { say "cargo ${component%%:*} is missing" >&2; exit 2; }
            say "adding ${component##*:} to the toolchain"
            rustup component add "${component##*:}" >/dev/null
        fi
    done
fi

if [[ ! -e /dev/fuse ]]; then
    say "there is no /dev/fuse: environments will be plain files (for the view, in a container: --device /dev/fuse)"
elif [[ ! -w /dev/fuse ]]; then
    say "/dev/fuse is closed to you: ask for mode 0666, as distributions ship it"
fi
say "ready ($(cargo --version))"
