#!/usr/bin/env bash
# What `cargo xtask ci` has cargo call for each crate of this workspace, with rustc's command
# line: clippy reads the crate, and then it is compiled. So dependencies are compiled alone, where
# `cargo clippy` would have them checked as well, once more for every target.
set -euo pipefail
rustc=("$@")

if [[ ${CARGO_MANIFEST_DIR:-} == "$ENCODERFILE_ROOT"* && " $* " == *" --emit="* ]]; then
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
    arguments=()
    while (($# > 1)); do
        shift
        case $1 in
        --emit=*) arguments+=(--emit=metadata) ;;
        # Cargo would take a file of clippy's for rustc's.
        --json=*) arguments+=("${1/,artifacts/}") ;;
        --out-dir) arguments+=(--out-dir "$out") && shift ;;
        *) arguments+=("$1") ;;
        esac
    done
    clippy-driver rustc "${arguments[@]}" -D warnings
    # `exec` runs no trap.
    rm -r "$out"
fi
exec "${rustc[@]}"
