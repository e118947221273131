# `make demo` and `make test` each work first on a fresh clone, with Python 3.11+ (and venv) alone.
PYTHON ?= python3
BIN := .venv/bin
# Side by side, the long files first. What is compiled is kept, for the many processes of the tests.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

.PHONY: install demo test check unit campaign format messages bench lock service clean

install: .venv/installed

.venv/installed: requirements.lock requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "renewal-watch needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install
	@$(BIN)/renewal-watch demo

test: check

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST)
	$(PYTEST) --postgresql

unit: install  # the pure parts alone, in seconds
	$(PYTEST) -n 2 tests/unit

campaign: install  # random kills, fuzzing and the like, for an hour; SEED=7 SIZE=0.1 ONLY="answers daemon"
	PYTHONDONTWRITEBYTECODE= $(BIN)/python tests/campaign.py $(if $(SEED),--seed $(SEED)) $(if $(SIZE),--size $(SIZE)) $(if $(ONLY),--only $(ONLY))

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

messages: install  # brings every sentence into the catalogues of languages; what is new there has no translation yet
	mkdir -p build
	cd renewal_watch && ../$(BIN)/pybabel --quiet extract --mapping-file ../pyproject.toml --no-wrap --add-location file --sort-by-file --output-file ../build/messages.pot .
	$(BIN)/pybabel --quiet update --input-file build/messages.pot --output-dir renewal_watch/locale --domain renewal_watch --no-wrap --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date

bench: install .venv/peer/installed
	$(BIN)/python benchmarks/bench.py --peer .venv/peer/bin/urlwatch
	$(BIN)/python benchmarks/many.py
	$(BIN)/python benchmarks/web.py

.venv/peer/installed: requirements-peer.lock  # what the benchmarks compare with, apart from our own
	$(PYTHON) -m venv .venv/peer
	.venv/peer/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-peer.lock
	@touch $@

lock: install  # newest releases that pyproject.toml admits, with their hashes
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra web --extra oidc --extra postgres pyproject.toml --output-file requirements.lock --upgrade
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --constraint requirements.lock --group dev --output-file requirements-dev.lock --upgrade
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --constraint requirements.lock --constraint requirements-dev.lock --extra mcp pyproject.toml --output-file requirements-mcp.lock --upgrade
	echo urlwatch | $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate - --output-file requirements-peer.lock --upgrade

service:  # as root: the program in /opt/renewal-watch, its units, a starting configuration
	sh systemd/install.sh

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
