# A thin driver: scripts/setup brings the tools, CMakePresets.json says how to build.
# CMAKE_FLAGS are options for one configuration, e.g. make test CMAKE_FLAGS=-DAFT_TARGET=x86-64-linux-avx2-fma-f16c

PRESET := release
CMAKE := .venv/bin/cmake
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: bench test tune gpu-bundle configure setup format clean help

bench: configure
	$(CMAKE) --build --preset $(PRESET) --target aft_cli
	build/aft bench --report build/bench

test: configure
	$(CMAKE) --build --preset $(PRESET)
	.venv/bin/ctest --preset $(PRESET)

tune: configure
	$(CMAKE) --build --preset $(PRESET) --target aft_cli
	build/aft tune $(ARGS)

gpu-bundle: setup
	scripts/gpu-bundle $(CMAKE_FLAGS)

configure: setup
	$(CMAKE) --preset $(PRESET) $(CMAKE_FLAGS)

setup:
	scripts/setup

format: setup
	git ls-files --cached --others --exclude-standard '*.h' '*.cpp' | xargs .venv/bin/clang-format -i

clean:
	rm -rf build

help:
	@echo 'make bench       generate the kernels for this machine and compare every schedule: build/bench/report.html'
	@echo 'make test        build everything and run every test'
	@echo 'make tune        search for faster kernels, e.g. ARGS="--layer full --shape 4,1024,512,512": docs/tuning.md'
	@echo 'make gpu-bundle  pack tests and benchmark for a machine with a GPU: build/aft-gpu-bundle.tar.xz'
	@echo 'make setup       install what is missing: packages (as root or with sudo) and .venv; the others do it first'
	@echo 'make format      format the sources'
	@echo 'make clean       remove build/'
