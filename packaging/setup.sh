#!/usr/bin/env bash
# Installs what is missing and nothing else: packages through apt, Python packages into .venv.
# Usage: packaging/setup.sh demo|deb|test|bench|matrix|firmware; test includes demo and deb, bench and matrix include all three,
# firmware includes matrix. deb alone is what building the Debian packages takes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

level=${1:-test}
absent_list=.venv/.absent-packages
oldest_python='(3, 11)'

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

case $level in
    demo) sets=' demo ' ;;
    deb) sets=' deb ' ;;
    test) sets=' demo deb test ' ;;
    bench) sets=' demo deb test bench ' ;;
    matrix) sets=' demo deb test matrix ' ;;
    firmware) sets=' demo deb test matrix firmware ' ;;
    *) die "unknown set '$level'; use demo, deb, test, bench, matrix or firmware" ;;
esac

# ---- which Python -----------------------------------------------------------------------------------------------
new_enough() { [[ -x $1 ]] && "$1" -c "import sys; sys.exit(sys.version_info < $oldest_python)"; }

python=/usr/bin/python3
extra_packages=()
if [[ -x $python ]] && ! new_enough "$python"; then
    for version in 3.13 3.12 3.11; do
        if new_enough "/usr/bin/python$version"; then python=/usr/bin/python$version; break; fi
    done
    if [[ $python = /usr/bin/python3 ]]; then
        python=/usr/bin/python3.11
        extra_packages=(python3.11)
    fi
    extra_packages+=("${python#/usr/bin/}-venv")
    say "the system's python3 is older than 3.11, so ${python##*/} is used (without the system's gi bindings)"
fi

# ---- which packages ---------------------------------------------------------------------------------------------
declare -A installed=()
if command -v dpkg-query >/dev/null; then
    while read -r status name; do
        [[ $status = ii ]] && installed[$name]=1
    done < <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n')
fi

is_installed() { # one name, perhaps with a *
    if [[ $1 != *'*'* ]]; then [[ -n ${installed[$1]:-} ]]; return; fi
    local name
    for name in "${!installed[@]}"; do
        # shellcheck disable=SC2053  # the right side is a pattern
        [[ $name = $1 ]] && return 0
    done
    return 1
}

any_installed() { # alternatives joined by |
    local name
    for name in ${1//|/ }; do is_installed "$name" && return 0; done
    return 1
}

candidate() { # prints the package to install for one requirement, or nothing
    local name pattern
    for name in ${1//|/ }; do
        if [[ $name = *'*'* ]]; then
            pattern="^${name//'*'/[0-9]+}\$"
            name=$(apt-cache pkgnames "${name%%'*'*}" | grep -E "$pattern" | sort -V | tail -n 1 || true)
            [[ -n $name ]] && { echo "$name"; return; }
        elif apt-cache show --no-all-versions "$name" >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
    return 0
}

set -f
wanted=("${extra_packages[@]}")
while read -r set name _; do
    [[ $sets = *" $set "* ]] && wanted+=("$name")
done <packaging/apt-packages
missing=()
absent=()
for name in "${wanted[@]}"; do
    any_installed "${name#\?}" && continue
    [[ $name = \?* && -f $absent_list ]] && grep -qxF -- "$name" "$absent_list" && continue
    missing+=("$name")
done

as_root() {
    if [[ $(id -u) = 0 ]]; then "$@"; else sudo "$@"; fi
}

if ((${#missing[@]})); then
    command -v apt-get >/dev/null ||
        die "this script installs through apt alone, and there is no apt-get here. Missing: ${missing[*]}"
    if [[ $(id -u) != 0 ]] && ! command -v sudo >/dev/null; then
        die "packages are missing, and there is neither root nor sudo to install them. As root, type:
    apt-get update && apt-get install --no-install-recommends ${missing[*]#\?}"
    fi
    say "missing from this system: ${missing[*]#\?}"
    say "reading the package lists (apt-get update)"
    as_root apt-get -qq -o DPkg::Lock::Timeout=300 update ||
        say "the package lists could not be read anew; going on with those that are here"
    install=()
    for name in "${missing[@]}"; do
        found=$(candidate "${name#\?}")
        if [[ -n $found ]]; then
            install+=("$found")
        elif [[ $name = \?* ]]; then
            absent+=("$name")
        else
            die "the archive of this system has no package ${name//|/ or }; enable its full archive (Ubuntu: universe)"
        fi
    done
    if ((${#absent[@]})); then
        say "this system's archive does not have ${absent[*]#\?}: the demo goes on without it, with ipxe instead"
        any_installed ipxe || install+=("$(candidate ipxe)")
    fi
    if ((${#install[@]})); then
        say "installing these packages: ${install[*]}"
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
            -o Dpkg::Use-Pty=0 install --no-install-recommends "${install[@]}" >/dev/null ||
            die "apt-get could not install them; its message is above"
    fi
fi
set +f

# ---- .venv ------------------------------------------------------------------------------------------------------
fingerprint="$(sha256sum <pyproject.toml) $("$python" -V) $PWD"
done_stamp() { [[ -f .venv/.setup-$1 && $(<".venv/.setup-$1") = "$fingerprint" ]]; }

if done_stamp test || { [[ $level = demo || $level = deb ]] && done_stamp demo; }; then
    :
else
    if ! .venv/bin/python -c "import sys; sys.exit(sys.version_info < $oldest_python)" 2>/dev/null; then
        say "making the environment .venv"
        "$python" -m venv --clear --system-site-packages .venv
    fi
    target='.[dev]'
    [[ $level = demo || $level = deb ]] && target=.
    say "installing the Python packages that pyproject.toml names into .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable "$target" ||
        die "pip could not install them; its message is above"
    stamp=test
    [[ $level = demo || $level = deb ]] && stamp=demo
    printf '%s' "$fingerprint" >".venv/.setup-$stamp"
fi
if ((${#absent[@]})); then printf '%s\n' "${absent[@]}" >"$absent_list"; fi
