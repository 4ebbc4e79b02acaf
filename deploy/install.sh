#!/bin/sh
# Installs the encoderfile tool: curl -fsSL ADDRESS/install.sh | sh
#
#   ENCODERFILE_BASE_BINARY_BASE_URL  where releases are (https://…, http://… or file://…)
#   ENCODERFILE_VERSION               which one
#   ENCODERFILE_INSTALL               the folder for the program [default: ~/.local/bin]
set -eu

fail() {
    echo "error: $*" >&2
    exit 1
}

target() {
    system=$(uname -s) machine=$(uname -m)
    case $machine in
        x86_64 | amd64) machine=x86_64 ;;
        aarch64 | arm64) machine=aarch64 ;;
        *) fail "no encoderfile for the processor $machine" ;;
    esac
    case $system in
        Linux) echo "$machine-unknown-linux-gnu" ;;
        Darwin) echo "$machine-apple-darwin" ;;
        *) fail "no encoderfile for $system by this script" ;;
    esac
}

sha256() {
    if command -v sha256sum >/dev/null; then
        sha256sum "$1"
    else
        shasum -a 256 "$1"
    fi | cut -d ' ' -f 1
}

main() {
    address=${ENCODERFILE_BASE_BINARY_BASE_URL:-}
    [ -n "$address" ] || fail "set ENCODERFILE_BASE_BINARY_BASE_URL to where releases are"
    version=${ENCODERFILE_VERSION:-}
    [ -n "$version" ] || fail "set ENCODERFILE_VERSION, to 0.1.0 for example"
    folder=${ENCODERFILE_INSTALL:-$HOME/.local/bin}
    name=encoderfile-$(target)
    release=${address%/}/v$version

    temporary=$(mktemp -d)
    trap 'rm -rf "$temporary"' EXIT
    curl -fsSL "$release/SHA256SUMS" -o "$temporary/SHA256SUMS" ||
        fail "$release/SHA256SUMS: not there"
    expected=$(grep "  $name\$" "$temporary/SHA256SUMS" | cut -d ' ' -f 1)
    [ -n "$expected" ] || fail "$release has no $name"
    echo "downloading $release/$name" >&2
    curl -fL --progress-bar "$release/$name" -o "$temporary/encoderfile" ||
        fail "$release/$name: not downloaded"
    [ "$(sha256 "$temporary/encoderfile")" = "$expected" ] ||
        fail "$release/$name: is not the SHA-256 of SHA256SUMS; nothing was installed"
    chmod 755 "$temporary/encoderfile"
    mkdir -p "$folder"
    mv "$temporary/encoderfile" "$folder/encoderfile"
    echo "$folder/encoderfile: $("$folder/encoderfile" --version)" >&2
    case ":$PATH:" in
        *":$folder:"*) ;;
        *) echo "$folder is not in PATH" >&2 ;;
    esac
}

main
