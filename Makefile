# Two commands matter: `make demo` and `make test`. The rest are their parts.
#
#   make            builds build/cpu/spate
#   make demo       installs packages, builds, brings the model, answers examples/prompts.jsonl
#   make test       builds and runs every test
#   make test-faults  kills and starves a run hundreds of times (make test: some dozens)
#   make model      brings models/SmolLM2-135M-Instruct.Q4_1.gguf
#   make test-data  brings the vocabularies and templates that the tests compare with
#   make gpu        builds build/gpu/spate (needs the CUDA toolkit)
#   make test-gpu   builds and runs the tests that use a GPU
#   make format     formats the sources

MODEL := models/SmolLM2-135M-Instruct.Q4_1.gguf
FUZZ_SECONDS ?= 8
GENERATOR := $(shell command -v ninja >/dev/null 2>&1 && echo "-G Ninja")
JOBS ?= $(shell nproc)

.PHONY: all setup model test-data demo test test-cpu test-dev test-faults fuzz gpu test-gpu test-cuda test-cuda-parts check format clean

all: program-cpu

# The program alone, and with the tests and benchmarks beside it.
program-%:
	cmake --preset $* $(GENERATOR) >/dev/null
	cmake --build --preset $* --parallel $(JOBS) --target spate

build-%:
	cmake --preset $* $(GENERATOR) >/dev/null
	cmake --build --preset $* --parallel $(JOBS)

setup:
	tools/setup.sh

model: $(MODEL)

$(MODEL):
	tools/get_model.sh $@

test-data: $(MODEL)
	tools/get_test_data.sh

demo:
	$(MAKE) setup
	$(MAKE) program-cpu
	$(MAKE) model
	mkdir -p build/demo
	build/cpu/spate run $(MODEL) -i examples/prompts.jsonl -o build/demo/answers.jsonl --overwrite
	@echo "The answers are in build/demo/answers.jsonl"

test:
	$(MAKE) setup
	$(MAKE) test-data
	$(MAKE) check
	$(MAKE) test-cpu
	$(MAKE) test-dev
	$(MAKE) test-cuda
	$(MAKE) fuzz

# The release build runs everything, the real model included; the sanitized build runs what
# finishes quickly under sanitizers.
test-cpu: build-cpu
	ctest --preset cpu

test-dev: build-dev
	ctest --preset dev -LE slow

# The CUDA parts compile wherever the toolkit is; without a GPU the test says that it is skipped.
NVCC := $(shell command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null)
CUDA_RELEASE := $(if $(NVCC),$(shell $(NVCC) --version | sed -n 's/.*release \([0-9]*\).*/\1/p'),0)
test-cuda:
	@if [ $(CUDA_RELEASE) -lt 13 ]; then \
	  echo "skipped: the CUDA parts need nvcc of CUDA 13 or newer (found: $(CUDA_RELEASE))"; \
	else $(MAKE) test-cuda-parts; fi

test-cuda-parts:
	CUDACXX=$(NVCC) cmake --preset gpu $(GENERATOR) >/dev/null
	cmake --build --preset gpu --parallel $(JOBS) --target spate test_cuda
	build/gpu/tests/test_cuda

test-faults: build-cpu
	SPATE_FAULT_KILLS=240 SPATE_FAULT_INTERRUPTS=60 build/cpu/tests/test_faults

fuzz: build-fuzz
	tools/run_fuzzers.sh build/fuzz $(FUZZ_SECONDS)

gpu: build-gpu

test-gpu: build-gpu
	tools/run_gpu_tests.sh build/gpu/tests

check:
	python3 tools/check_rooms.py

format:
	git ls-files '*.cc' '*.h' '*.cu' '*.cuh' | xargs clang-format -i

clean:
	rm -rf build
