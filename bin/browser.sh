# Sourced by bin/test.sh: Chromium for the tests that look at pages, where there is none yet.
# usage: . bin/browser.sh; prepare_browser
# CHROMIUM in the environment names a browser of your own, and nothing is installed.

prepare_browser() {
    local name root=()
    [ -z "${CHROMIUM:-}" ] || return 0
    for name in chromium chromium-browser google-chrome; do
        command -v "$name" >/dev/null && return 0
    done
    command -v apt-get >/dev/null || {
        echo "error: no Chromium for the tests of pages; install it for your system, or set CHROMIUM" >&2
        exit 2
    }
    [ "$(id -u)" -eq 0 ] || root=(sudo)
    echo "installing chromium ..."
    "${root[@]}" apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends chromium >/dev/null
}
