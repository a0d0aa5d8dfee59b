# The commands of this project. `make` alone lists them.
PREFIX ?= /usr/local
DESTDIR ?=

PYTHON := .venv/bin/python
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo deb lintian test test-vm boot-matrix boot-changes boot-firmware boot-installer lint bench fuzz fuzz-bus chaos power-cut screenshots man install uninstall clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Make a stick image with three real systems and boot it in a virtual machine
	@packaging/setup.sh demo
	@$(PYTHON) -m tests.demo

test: lint ## Run everything: linters, fast tests, kill tests, boots in a virtual machine
	@tests/run.sh

VERSION ?=
deb: ## Build the Debian packages in build/deb/out (VERSION=, the changelog's if left out)
	@packaging/setup.sh deb
	@rm -rf build/deb/out
	@packaging/deb.sh build/deb/out $(VERSION)

lintian: ## Build the Debian packages twice, compare the bytes, and let lintian look at them
	@packaging/setup.sh deb
	@packaging/check-deb.sh build/deb/out

SUITE ?=
SCENARIO ?=
test-vm: setup ## Drive the installed service in a virtual machine with systemd and USB sticks, as root (SUITE=trixie, SCENARIO=words)
	@LUXUSB_VM_SUITE="$(SUITE)" $(PYTHON) -m pytest -q --no-header -o console_output_style=classic -p tests.vm.scenarios \
		-m vm --scenario "$(SCENARIO)" tests/vm

ONLY ?=
boot-matrix: ## Boot real systems from sticks under BIOS, UEFI and Secure Boot and write docs/boot-matrix.md, as root (ONLY=words)
	@packaging/setup.sh matrix
	@$(PYTHON) -m tests.matrix $(ONLY)

boot-changes: ## Start live systems twice from sticks on which they keep changes, as root (ONLY=words)
	@packaging/setup.sh matrix
	@$(PYTHON) -m tests.matrix.changes $(ONLY)

boot-firmware: ## Boot sticks under 32-bit UEFI and on ARM, write down what was seen, and enrol a key with MokManager (ONLY="ia32 arm64 enrol")
	@packaging/setup.sh firmware
	@$(PYTHON) -m tests.firmware $(ONLY)

boot-installer: ## Start Debian's installer from an image in a stick, by the initrd that is fetched with it (ONLY=words)
	@packaging/setup.sh matrix
	@$(PYTHON) -m tests.matrix.installers $(ONLY)

setup: ## Install what is missing: packages through apt, Python packages into .venv
	@packaging/setup.sh test

lint: setup ## Check style, types and the direction of imports
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@$(PYTHON) -m pytest -q tests/test_imports.py

BENCH_GROUPS ?=
bench: ## Measure start and memory of daemon and app, probing beside f3probe, writing to sticks beside dd and while downloading, and downloads beside curl, wget and aria2 (BENCH_GROUPS="daemon catalogue app medium overlap probe transfer")
	@packaging/setup.sh bench
	@$(PYTHON) -m tests.bench $(BENCH_GROUPS)

FUZZ_TARGETS ?=
FUZZ_RUNS ?= 20000
FUZZ_SEED ?= 1
FUZZ_MESSAGES ?= 100000
fuzz: setup ## Feed mutated images and documents to everything that reads foreign bytes (FUZZ_RUNS, FUZZ_SEED, FUZZ_TARGETS)
	@$(PYTHON) -m tests.fuzz $(FUZZ_TARGETS) --runs $(FUZZ_RUNS) --seed $(FUZZ_SEED)

fuzz-bus: setup ## Send random D-Bus messages of two users to the service, as root (FUZZ_MESSAGES, FUZZ_SEED)
	@$(PYTHON) -m tests.bus.fuzz --messages $(FUZZ_MESSAGES) --seed $(FUZZ_SEED)

CHAOS_ROUNDS ?= 5
CHAOS_SEED ?= 1
chaos: setup ## Kill the service and its children at random moments of every kind of job, as root (CHAOS_ROUNDS of each kind, CHAOS_SEED)
	@LUXUSB_CHAOS_ROUNDS=$(CHAOS_ROUNDS) LUXUSB_CHAOS_SEED=$(CHAOS_SEED) unshare --mount --propagation slave \
		sh -c 'mount --make-rshared / && exec "$$@"' sh $(PYTHON) -m pytest -q -m chaos tests/daemon/test_chaos.py

POWER_CUTS ?= 60
POWER_CUT_SEED ?= 1
power-cut: setup ## Cut the power in the middle of create, add, remove, update, refresh and adopt, as root (POWER_CUTS of each, POWER_CUT_SEED)
	@LUXUSB_POWER_CUTS=$(POWER_CUTS) LUXUSB_POWER_CUT_SEED=$(POWER_CUT_SEED) unshare --mount --propagation slave \
		sh -c 'mount --make-rshared / && exec "$$@"' sh $(PYTHON) -m pytest -q -s -m 'chaos and not boot' tests/stick/test_power_cut.py

screenshots: setup ## Take a picture of every page of the desktop app, in docs/screenshots
	@$(PYTHON) -m pytest -q tests/desktop/shots.py

man: ## Write the manual pages to build/man
	@packaging/setup.sh demo
	@$(PYTHON) packaging/manpages.py build/man

install: ## Install the service and its clients (PREFIX=/usr/local, DESTDIR=)
	@packaging/install.sh install "$(DESTDIR)" "$(PREFIX)"

uninstall: ## Remove what `make install` put there
	@packaging/install.sh uninstall "$(DESTDIR)" "$(PREFIX)"

clean: ## Remove what was built and downloaded here, and .venv
	rm -rf build dist .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
