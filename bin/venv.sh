# Sourced by the scripts beside it: sets PROJECT and makes PROJECT/.venv with the project in it.
# usage: . bin/venv.sh [extra,...]
#
# On a fresh Debian python3 comes without venv; then the package is installed, by sudo if needed.

PROJECT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

install_venv_package() {
    command -v apt-get >/dev/null || {
        echo "error: python3 has no venv module; install it for your system and run this again" >&2
        exit 2
    }
    local root=()
    [ "$(id -u)" -eq 0 ] || root=(sudo)
    "${root[@]}" apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv
}

prepare_venv() {
    local extras="$1" stamp wanted
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "error: python3 is $(python3 -V); 3.11 or newer is needed" >&2
        exit 2
    }
    if [ ! -x "$PROJECT/.venv/bin/pip" ]; then
        python3 -c 'import ensurepip, venv' 2>/dev/null || install_venv_package
        python3 -m venv "$PROJECT/.venv"
    fi
    # Installed again only when the requirements change.
    stamp="$PROJECT/.venv/installed-$extras"
    wanted="$(cat "$PROJECT/setup.cfg" "$PROJECT/setup.py" | sha256sum)"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        echo "installing into $PROJECT/.venv ..."
        "$PROJECT/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --editable "$PROJECT${extras:+[$extras]}"
        echo "$wanted" >"$stamp"
    fi
}
