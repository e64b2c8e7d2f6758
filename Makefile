# Two commands matter: `make book` and `make test`. `make help` lists the rest.

# The interpreter that the environments are made with: the first that is new enough.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

# Where pip looks for torch, if not where it looks for everything else: see the README.
TORCH_INDEX ?=

BOOK := .venv-book/bin/python
FULL := .venv/bin/python
# Both environments, current with the pins.
BOOK_READY := .venv-book/.ready
FULL_READY := .venv/.ready
# And one that is like Colab's; it is asked each time, for it may have been made of another list.
COLAB_READY := .venv-colab/.ready

.DEFAULT_GOAL := help
.PHONY: help book test lint format execute sync colab colab-test site release-check publish version links figures record bench new-chapter accessibility assignments address lock clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

book: $(BOOK_READY) ## build the book into _build/html (needs no torch)
	@$(BOOK) -m tools.book

test: $(BOOK_READY) $(FULL_READY) $(COLAB_READY) ## run every test there is; NAME=cbam those of one chapter, LANES="units book" some lanes
	@$(FULL) -m tools.testing.run $(LANES) $(if $(NAME),--chapter $(NAME))

lint: $(FULL_READY) ## the quick checks: style, cards, workflows; what pre-commit runs
	@$(FULL) -m tools.testing.lint

format: $(FULL_READY) ## let ruff mend the style of all Python code, notebooks included
	@$(FULL) -m ruff check --fix --quiet . ; $(FULL) -m ruff format .

execute: $(FULL_READY) ## run the chapters and keep their outputs; NAME=se runs one
	@$(FULL) -m tools.writing.execute $(NAME)

sync: $(FULL_READY) ## write cards, set-up cells, README table and addresses from their sources
	@$(FULL) -m tools.writing.sync

colab: $(FULL_READY) ## make the Colab edition of every chapter, into _build/colab
	@$(FULL) -m tools.publishing.colab

colab-test: $(COLAB_READY) ## run the Colab edition as Colab would; PACKAGES=pip-freeze.txt takes another list of packages
	@$(FULL) -m tools.testing.run colab

site: book colab ## all that is published: the book, the wheel and the Colab edition, into _build/html
	@$(FULL) -m tools.publishing.site

release-check: site assignments ## check all of a release that can be checked here, into _build/dist; TAG=v0.1.0, PUBLIC=1
	@$(FULL) -m tools.publishing.release $(if $(TAG),--tag "$(TAG)") $(if $(PUBLIC),--public)

publish: site ## put the site on the branch that is published, as its one commit: REMOTE=https://…
	@REMOTE="$(REMOTE)" $(FULL) -m tools.publishing.publish

version: $(FULL_READY) ## give the package another version everywhere: VERSION=0.2.0
	@$(FULL) -m tools.publishing.version $(VERSION)

links: $(BOOK_READY) ## follow every link that leads out of the book (needs the network)
	@$(BOOK) -m tools.publishing.links

figures: $(FULL_READY) ## draw the pictures of the other pages anew
	@$(FULL) -m tools.writing.figures

record: $(FULL_READY) ## run a chapter's larger comparison and keep its results: NAME=se, WITH="--jobs 1"
	@$(FULL) -m tools.writing.record $(NAME) $(WITH)

bench: $(FULL_READY) ## time our blocks against their literal form and others' blocks: TARGET=file.json TABLE=others
	@$(FULL) -m benchmarks.bench $(if $(TABLE),--table $(TABLE)) $(if $(TARGET),--target $(TARGET))

new-chapter: $(FULL_READY) ## lay out the files of a planned chapter: NAME=eca
	@$(FULL) -m tools.writing.new_chapter $(NAME)

accessibility: book $(FULL_READY) ## check every page for accessibility, and keep the results for the book's page
	@$(FULL) -m tools.testing.accessibility

assignments: $(FULL_READY) ## make students' and instructors' notebooks and Gradescope's uploads; NAME=eca makes one
	@$(FULL) -m tools.teaching.assignments $(NAME) $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))

address: $(FULL_READY) ## change the public addresses everywhere: SITE=https://… REPOSITORY=https://…
	@$(FULL) -m tools.publishing.address --site "$(SITE)" --repository "$(REPOSITORY)"

lock: $(FULL_READY) ## move to the newest versions and pin them in requirements.txt
	@$(FULL) -m pip install --disable-pip-version-check --upgrade --upgrade-strategy eager -r requirements.in
	@$(FULL) -m tools.environments.lock

clean: ## remove all that was built, but not the environments
	rm -rf _build build dist *.egg-info .pytest_cache .ruff_cache notebooks/.ruff_cache assignments/.ruff_cache .hypothesis

# An environment is made once, and installed again when a pin changes. The stamp is written last, so that an
# interrupted installation is taken up again.

.venv-book/bin/python .venv/bin/python:
	@test -n "$(PYTHON)" || { echo "make: no Python of at least 3.11 found; name one: make PYTHON=/path/to/python3"; exit 1; }
	@echo "Making the environment $(@:/bin/python=) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(@:/bin/python=)

$(BOOK_READY): requirements-book.in requirements.txt | $(BOOK)
	@echo "Installing what the book needs (once, about a minute)"
	@$(BOOK) -m pip install --disable-pip-version-check -r requirements-book.in -c requirements.txt
	@touch $@

$(FULL_READY): requirements.txt pyproject.toml | $(FULL)
	@echo "Installing the exact environment of the tests (once, a few minutes)"
	@$(if $(TORCH_INDEX),$(FULL) -m pip install --disable-pip-version-check --index-url $(TORCH_INDEX) \
		$$(grep '^torch==' requirements.txt))
	@$(FULL) -m pip install --disable-pip-version-check -r requirements.txt
	@$(FULL) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@touch $@

$(COLAB_READY): $(FULL_READY) FORCE
	@$(FULL) -m tools.environments.colab_environment $(if $(PACKAGES),--packages "$(PACKAGES)",--constraint requirements.txt) \
		$(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))

FORCE:
