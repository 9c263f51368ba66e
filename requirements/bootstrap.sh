#!/bin/sh
# Creates .venv, the project's environment, from the lock that suits this machine.
# If it is up to date, says nothing and returns at once; if unfinished or moved, recreates it.
#
#   LINE=tfx-1.16 or LINE=tfx-1.21   uses that dependency line instead of the one chosen by glibc
#
# Exit codes: 0 ready; 2 this machine lacks something (the message says what); else a step failed.
set -eu

# Nothing of the caller's Python set-up may reach the new environment.
unset CDPATH VIRTUAL_ENV CONDA_PREFIX PYTHONPATH PYTHONHOME PYTHONSTARTUP PYENV_VERSION PYENV_DIR \
    PIP_PREFIX PIP_REQUIRE_HASHES PIP_TARGET PIP_USER \
    UV_BREAK_SYSTEM_PACKAGES UV_BUILD_CONSTRAINT UV_CONSTRAINT UV_NO_BUILD UV_OVERRIDE \
    UV_PROJECT_ENVIRONMENT UV_PYTHON UV_REQUIRE_HASHES UV_SYSTEM_PYTHON

cd -- "$(dirname -- "$0")/.."
ROOT=$(pwd -P)
VENV=$ROOT/.venv
STAMP=$VENV/.covers-setup

say() { printf 'setup: %s\n' "$*"; }

stop() { # stop LINE...: what is missing and how to get it
    for line in "$@"; do printf 'setup: %s\n' "$line" >&2; done
    exit 2
}

choose_line() { # sets LINE, WHY, VERSIONS (the best first), LOCK
    glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || glibc=
    glibc=${glibc#glibc }
    minor=${glibc#*.}
    minor=${minor%%[!0-9]*}
    if [ -n "${LINE:-}" ]; then
        WHY="LINE is set"
    else
        case $glibc in
        2.*) ;;
        *) stop "Expected Linux with glibc. Received: $(uname -s), glibc ${glibc:-absent}." \
            "TFX has no packages for it: work in a Debian or Ubuntu container." ;;
        esac
        if [ "$minor" -ge 39 ]; then
            LINE=tfx-1.21 WHY="glibc $glibc; 2.39 or newer runs it"
        else
            LINE=tfx-1.16 WHY="glibc $glibc; tfx-1.21 needs 2.39"
        fi
    fi
    case $LINE in
    tfx-1.16)
        VERSIONS="3.10"
        NEEDED=28
        ;;
    tfx-1.21)
        VERSIONS="3.13 3.12 3.11 3.10"
        NEEDED=39 # the tag of the wheels of ML Metadata, tfx-bsl and TFDV
        ;;
    *) stop "Expected LINE to be tfx-1.16 or tfx-1.21. Received: $LINE" ;;
    esac
    case $glibc in
    2.*) [ "$minor" -ge "$NEEDED" ] ||
        stop "Expected glibc 2.$NEEDED or newer for $LINE. Received: glibc $glibc." \
            "LINE=tfx-1.16 runs on 2.28 or newer; otherwise work in a Debian or Ubuntu container." ;;
    esac
    LOCK=requirements/$LINE.txt
}

ready() { [ "$(cat "$STAMP" 2>/dev/null)" = "$WANTED" ] && [ -x "$VENV/bin/python" ]; }

# Run by a candidate: prints the interpreter to use, or says on stderr all that keeps it from it.
PROBE='
import importlib.util, os, sys, sysconfig
expected, compiler = sys.argv[1:]
received = "%d.%d" % sys.version_info[:2]
if received != expected:
    sys.exit("is Python " + received)
if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit("is not the standard CPython")
names = ("venv", "ensurepip", "_ssl", "_bz2", "_lzma", "_ctypes")
missing = [name for name in names if not importlib.util.find_spec(name)]
lacks = ["lacks the module(s) " + ", ".join(missing)] if missing else []
if expected == "3.10":  # pyfarmhash has no wheel for it and is compiled
    header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
    if not os.path.exists(header):
        lacks.append("needs " + header + " to build pyfarmhash")
    if not compiler:
        lacks.append("needs a C++ compiler to build pyfarmhash")
if lacks:
    sys.exit("; ".join(lacks))
if sys.prefix == sys.base_prefix:
    print(sys.executable)
else:  # an environment, perhaps the one to be replaced: use what it was made from
    print(os.path.join(sys.base_prefix, "bin", "python" + expected))
'

candidates() { # candidates VERSION: interpreters that may be that Python, one per line
    set -f
    IFS=:
    for name in "python$1" python3 python; do
        for folder in $PATH; do
            [ -x "$folder/$name" ] && printf '%s\n' "$folder/$name"
        done
    done
    unset IFS
    set +f
    for root in "${PYENV_ROOT:-}" "$(pyenv root 2>/dev/null)" "${HOME:-}/.pyenv"; do
        for python in "$root/versions/$1".*/bin/"python$1"; do
            [ -x "$python" ] && printf '%s\n' "$python"
        done
    done
    # What uv installed, whether or not uv itself is still there.
    for root in "${UV_PYTHON_INSTALL_DIR:-}" "${XDG_DATA_HOME:-${HOME:-}/.local/share}/uv/python"; do
        for python in "$root/cpython-$1".*/bin/"python$1"; do
            [ -x "$python" ] && printf '%s\n' "$python"
        done
    done
    # Asked from /, so that uv looks past this project's own environment.
    (cd / && uv python find "$1" 2>/dev/null) || true
}

find_python() { # sets PYTHON and VERSION, or REJECTED and returns 1
    REJECTED=
    for VERSION in $VERSIONS; do
        found=$(candidates "$VERSION" | awk '!seen[$0]++')
        old_ifs=$IFS
        IFS='
'
        for python in $found; do
            IFS=$old_ifs
            PYTHON=$("$python" -I -c "$PROBE" "$VERSION" "$COMPILER" 2>&1 </dev/null) || true
            [ ! -x "$PYTHON" ] || return 0
            case $PYTHON in
            "is Python "*) ;;
            *) REJECTED="$REJECTED$python: $(printf '%s' "$PYTHON" | tail -n 1)
" ;;
            esac
        done
        IFS=$old_ifs
    done
    return 1
}

lacks() { # lacks WHAT PACKAGE...: notes it, and what of Debian and Ubuntu brings it
    LACKING="$LACKING${LACKING:+; }$1"
    shift
    PACKAGES="$PACKAGES $*"
}

python_packages() { # sets FROM_APT to those with a Python of this line, or to nothing
    FROM_APT=
    case "$LINE $(. "${OS_RELEASE:-/etc/os-release}" 2>/dev/null && echo "$ID ${VERSION_ID:-}")" in
    "tfx-1.16 ubuntu 22.04") FROM_APT="python3.10-venv python3.10-dev" ;;
    "tfx-1.21 debian 13" | "tfx-1.21 ubuntu 24."* | "tfx-1.21 ubuntu 25."*) FROM_APT=python3-venv ;;
    esac
}

check_system() { # sets PYTHON and VERSION unless .venv stays; names all that is missing at once
    LACKING= PACKAGES= REJECTED= UV_INSTALLS=
    zone=${TZDIR:-/usr/share/zoneinfo}/America/Los_Angeles
    if [ "$LINE" = tfx-1.16 ] && [ ! -e "$zone" ]; then # its ML Metadata aborts without
        lacks "the time zone $zone" tzdata
    fi
    if [ -z "$update" ]; then
        COMPILER=$(command -v "${CXX:-g++}" || command -v g++ || command -v c++ ||
            command -v clang++) || COMPILER=
        if [ "$VERSIONS" = 3.10 ] && [ -z "$COMPILER" ]; then
            lacks "a C++ compiler to build pyfarmhash" g++
            COMPILER="is noted" # so that a Python is not refused for it too
        fi
        if ! find_python; then
            python_packages
            if [ -z "$FROM_APT" ]; then
                FROM_APT=pipx
                UV_INSTALLS=" && pipx run uv python install ${VERSIONS%% *}"
            fi
            lacks "a usable Python $(printf '%s' "$VERSIONS" | sed 's/ / or /g') with venv" $FROM_APT
        fi
    fi
    [ -z "$LACKING" ] || say_what_is_missing
}

say_what_is_missing() {
    say "Expected on this system: $LACKING. Received: none." >&2
    printf '%s' "$REJECTED" | sort -u | sed 's/^/setup:   not usable: /' >&2
    if command -v apt-get >/dev/null; then
        sudo="sudo "
        [ "$(id -u)" -ne 0 ] || sudo=
        stop "Install what is missing with:" \
            "  ${sudo}apt-get update && ${sudo}apt-get install --yes$PACKAGES$UV_INSTALLS"
    fi
    stop "Install what is missing with this system's package manager; on Debian and Ubuntu it is" \
        "called$PACKAGES. A Python also comes from \`uv python install ${VERSIONS%% *}\` or" \
        "\`pyenv install ${VERSIONS%% *}\`."
}

choose_cache() { # pip and uv do without a cache where they could not write one
    cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
    if [ -n "$cache" ] && mkdir -p -- "$cache/uv" 2>/dev/null && [ -w "$cache/uv" ]; then return; fi
    [ -z "${UV_CACHE_DIR:-}" ] || return 0
    export UV_NO_CACHE=1 PIP_NO_CACHE_DIR=1
    say "no folder for a cache (HOME is ${HOME:-not set}): the packages are downloaded each time"
}

step() { # step TEXT COMMAND...: one line with what is done and the seconds it took
    printf 'setup: %s ... ' "$1"
    shift
    begin=$(date +%s)
    code=0
    "$@" </dev/null || code=$?
    if [ "$code" -ne 0 ]; then
        printf '\nsetup: this step failed with exit code %s\n' "$code" >&2
        exit "$code"
    fi
    printf '%s s\n' "$(($(date +%s) - begin))"
}

make_venv() {
    # uv itself comes from the lock too: its version and hashes are the lock's entry for uv.
    rm -rf -- "$VENV" &&
        "$PYTHON" -I -m venv "$VENV" &&
        awk '/^uv==/ { on = 1 } on { print } on && !/\\$/ { exit }' "$LOCK" >"$VENV/uv.txt" &&
        "$VENV/bin/python" -I -m pip install -qq --disable-pip-version-check --no-input --no-deps \
            --require-hashes --requirement "$VENV/uv.txt"
}

install_lock() { # packages without a wheel are built with the lock's own setuptools
    "$VENV/bin/uv" pip sync --quiet --python "$VENV/bin/python" --require-hashes \
        --build-constraints "$LOCK" "$LOCK"
}

install_project() {
    "$VENV/bin/uv" pip install --quiet --python "$VENV/bin/python" --no-deps --no-build-isolation \
        --editable .
}

choose_line
[ -r "$LOCK" ] || stop "Expected the lock file $LOCK. Received: nothing there. \`make lock\` creates it."
WANTED="$LINE $(cat "$LOCK" setup.py | sha256sum) $ROOT"
ready && exit 0

# One set-up at a time; one that was killed may still have a child at work.
if command -v flock >/dev/null; then
    exec 9<requirements/bootstrap.sh
    flock -n 9 || { say "waiting for another set-up of this folder" && flock 9; }
    ready && exit 0
fi

started=$(date +%s)
say "dependency line $LINE ($WHY)"
if [ "$(uname -m)" != x86_64 ] && [ "$WHY" != "LINE is set" ]; then
    stop "Expected an x86_64 machine. Received: $(uname -m)." \
        "ML Metadata, which TFX needs, has no packages for other Linux machines."
fi
case $(cat "$STAMP" 2>/dev/null) in
"$LINE "*" $ROOT") [ -x "$VENV/bin/uv" ] && [ -x "$VENV/bin/python" ] && update=yes || update= ;;
*) update= ;;
esac
check_system
choose_cache
# From here until the end there is no stamp: an interrupted set-up is redone.
rm -f -- "$STAMP"
if [ -z "$update" ]; then
    [ ! -e "$VENV" ] || say ".venv is unfinished, moved or from another line: recreating it"
    step ".venv with Python $VERSION ($PYTHON)" make_venv
fi
step "the packages of $LOCK" install_lock
step "covers itself, editable" install_project
printf '%s\n' "$WANTED" >"$STAMP"
say "ready in $(($(date +%s) - started)) s"
