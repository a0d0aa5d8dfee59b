#!/usr/bin/env bash
# All tests in four groups: fast ones, those that kill processes, those that boot sticks in virtual machines, and, as root,
# a part of those that drive the installed service in a virtual machine (`make test-vm` runs all). Called by `make test`;
# PYTEST_ARGS is handed on to every group.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
logs=build/test
mkdir -p "$logs"
rm -f "$logs"/*.log

filter=
if [[ $(id -u) != 0 ]]; then
    filter=' and not root'
    echo "test: not root, so the tests marked 'root' (loop devices, mounts) are left out; 'sudo make test' runs them too"
fi

group() { # name, marker expression
    local status=0
    echo "test: $1 ($2$filter)"
    # shellcheck disable=SC2086  # several arguments
    .venv/bin/python -m pytest -m "($2)$filter" ${PYTEST_ARGS:-} 2>&1 | tee "$logs/$1.log" || status=$?
    if [[ $status != 0 ]]; then
        echo "test: the group '$1' failed; its output is in $logs/$1.log" >&2
        exit "$status"
    fi
}

group fast 'not boot and not chaos and not vm'
group chaos 'chaos and not boot'
group boot 'boot'
# making the machine's disk takes debootstrap, which takes root
[[ $(id -u) != 0 ]] || group vm 'vm and not campaign'
