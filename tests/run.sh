#!/usr/bin/env bash
# All tests in four groups: fast ones, those that kill processes, those that boot sticks in virtual machines, and, as root,
# a part of those that drive the installed service in a virtual machine (`make test-vm` runs all). Called by `make test`;
# PYTEST_ARGS is handed on to every group.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
logs=build/test
mkdir -p "$logs"
rm -f "$logs"/*.log

# The tests start thousands of processes, and those that serve the daemon are told to write no bytecode: without this each of
# them would compile all that it imports, which is the half of what a start of the daemon costs.
unset PYTHONDONTWRITEBYTECODE
.venv/bin/python -m compileall -q luxusbd clients tests

filter=
# What one test unmounts has to go from the namespaces that another one's daemon has made meanwhile, as it does under systemd,
# where / is shared; and none of it is the machine's business.
apart=(unshare --mount --propagation slave sh -c 'mount --make-rshared / && exec "$@"' sh)
if [[ $(id -u) != 0 ]]; then
    filter=' and not root'
    apart=()
    echo "test: not root, so the tests marked 'root' (loop devices, mounts) are left out; 'sudo make test' runs them too"
fi

# a virtual machine fills a core by itself and has times to keep; the others wait half of the time for their daemons
together='-n auto --maxprocesses 4'

group() { # name, marker expression, further arguments
    local status=0
    echo "test: $1 ($2$filter)"
    # shellcheck disable=SC2086  # several arguments
    "${apart[@]}" .venv/bin/python -m pytest -m "($2)$filter" ${3:-} ${PYTEST_ARGS:-} 2>&1 | tee "$logs/$1.log" || status=$?
    if [[ $status != 0 ]]; then
        echo "test: the group '$1' failed; its output is in $logs/$1.log" >&2
        exit "$status"
    fi
}

group fast 'not boot and not chaos and not vm' "$together"
group chaos 'chaos and not boot' "$together"
group boot 'boot'
# making the machine's disk takes debootstrap, which takes root
[[ $(id -u) != 0 ]] || group vm 'vm and not campaign'
