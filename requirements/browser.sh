#!/bin/sh
# Sees to the browser in which the tests look at the report: Chromium and its driver.
#
#   requirements/browser.sh check      prints the paths of both; or says why not, and what to do
#   requirements/browser.sh install    installs them first where root and apt-get can
#
# Exit codes: 0 they are there; 3 they are not. `install` also returns 0 without them, since all other
# tests run all the same, unless COVERS_REQUIRE_SYSTEM_PACKAGES is 1.
set -eu

find_browser() { # sets BROWSER and DRIVER, or returns 1
    for BROWSER in chromium chromium-browser google-chrome; do
        BROWSER=$(command -v "$BROWSER") || continue
        # Ubuntu's is a script that only asks for the snap.
        "$BROWSER" --version >/dev/null 2>&1 </dev/null || continue
        DRIVER=$(command -v chromedriver) && "$DRIVER" --version >/dev/null 2>&1 </dev/null
        return
    done
    return 1
}

look_at_system() { # sets WHY and REMEDY; FROM_APT is yes where apt-get brings the browser
    FROM_APT=
    sudo="sudo "
    [ "$(id -u)" -ne 0 ] || sudo=
    # shellcheck disable=SC1090
    case " $(. "${OS_RELEASE:-/etc/os-release}" 2>/dev/null && echo "$ID ${ID_LIKE:-}") " in
    *" ubuntu "*)
        WHY="Ubuntu's chromium is a snap, which does not run in a container"
        REMEDY="${sudo}.ci/system build/debian13 make test ARGS=tests/components/report_gen"
        ;;
    *)
        WHY="Chromium and its driver are not installed"
        if command -v apt-get >/dev/null; then
            FROM_APT=yes
            REMEDY="${sudo}apt-get update && ${sudo}apt-get install --yes chromium chromium-driver"
        else
            REMEDY="install chromium and chromedriver with this system's package manager"
        fi
        ;;
    esac
}

install_browser() {
    printf 'setup: Chromium, for the tests of the report ... '
    begin=$(date +%s)
    if said=$({ apt-get update && DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --no-install-recommends chromium chromium-driver; } 2>&1 </dev/null); then
        printf '%s s\n' "$(($(date +%s) - begin))"
    else
        printf 'apt-get failed: %s\n' "$(printf '%s\n' "$said" | tail -n 1)"
    fi
}

case ${1:-} in
check | install) ;;
*)
    echo "Expected check or install. Received: ${1:-nothing}." >&2
    exit 2
    ;;
esac
found=yes
find_browser || found=
if [ -z "$found" ]; then
    look_at_system
    if [ "$1" = install ] && [ -n "$FROM_APT" ] && [ "$(id -u)" -eq 0 ]; then
        install_browser
        ! find_browser || found=yes
    fi
fi
if [ "$1" = check ] && [ -n "$found" ]; then
    printf '%s\n%s\n' "$BROWSER" "$DRIVER"
elif [ "$1" = check ]; then
    printf '%s: %s\n' "$WHY" "$REMEDY"
    exit 3
elif [ -z "$found" ] && [ "${COVERS_REQUIRE_SYSTEM_PACKAGES:-}" = 1 ]; then
    printf 'setup: Expected a browser, as COVERS_REQUIRE_SYSTEM_PACKAGES is 1. Received: none. %s: %s\n' \
        "$WHY" "$REMEDY" >&2
    exit 3
fi
