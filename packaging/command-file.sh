# Sourced by packaging/install.sh and packaging/debian/stage.sh: what the programs in bin, sbin and libexec consist of.
# shellcheck shell=bash

command_file() { # interpreter, directory of the Python packages, module whose main() is called
    printf '#!%s -I\nimport sys\n\nsys.path.insert(0, "%s")\nfrom %s import main\n\nsys.exit(main())\n' "$@"
}
