# Sourced by bin/test.sh: what its tests need of the system, where it is not there yet.
# usage: . bin/packages.sh; prepare_packages
# Chromium, for the tests that look at pages; tmux, for the one that looks at a terminal;
# systemd-analyze, for the one that checks the units in this folder.
# CHROMIUM in the environment names a browser of your own, and none is installed.

has_browser() {
    local name
    [ -z "${CHROMIUM:-}" ] || return 0
    for name in chromium chromium-browser google-chrome; do
        command -v "$name" >/dev/null && return 0
    done
    return 1
}

prepare_packages() {
    local wanted=() root=()
    has_browser || wanted+=(chromium)
    command -v tmux >/dev/null || wanted+=(tmux)
    command -v systemd-analyze >/dev/null || wanted+=(systemd)
    [ "${#wanted[@]}" -gt 0 ] || return 0
    command -v apt-get >/dev/null || {
        echo "error: the tests need ${wanted[*]}; install it for your system" >&2
        exit 2
    }
    [ "$(id -u)" -eq 0 ] || root=(sudo)
    echo "installing ${wanted[*]} ..."
    "${root[@]}" apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
}
