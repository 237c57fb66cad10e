# Each target that a person may want has its purpose after "##"; help prints them.

BIN       := bin/nemotron-mcp
VERSION   ?=
LDFLAGS   := -s -w $(if $(VERSION),-X main.version=$(VERSION))
FUZZTIME  ?= 10s
RUN       ?= .
CHROMIUM  ?= /usr/bin/chromium
# Kept out of go.mod: they check the project and are not part of it.
GOFUMPT     := go run mvdan.cc/gofumpt@v0.12.0
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2

export CGO_ENABLED ?= 0

.DEFAULT_GOAL := help
.PHONY: help build cross demo test race lint fuzz golden bench chaos compat conformance clients page release reproducible packaging cover clean

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build bin/nemotron-mcp
	go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) .

cross: ## Build for Linux, macOS and Windows on amd64 and arm64, into bin/
	@for os in linux darwin windows; do for arch in amd64 arm64; do \
		suffix=""; [ $$os = windows ] && suffix=.exe; echo "$$os/$$arch"; \
		GOOS=$$os GOARCH=$$arch go build -trimpath -ldflags '$(LDFLAGS)' -o bin/nemotron-mcp-$$os-$$arch$$suffix . || exit 1; \
	done; done

demo: build ## Delegate a prompt end to end: on the simulator, or on fal where FAL_KEY is set
	./$(BIN) demo

test: ## Run all tests
	go test ./...

race: ## Run all tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race ./...

lint: ## Check format, vet on three systems, staticcheck, module files
	@unformatted="$$($(GOFUMPT) -l .)" || exit 1; if [ -n "$$unformatted" ]; then echo "not gofumpt-clean:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	GOOS=windows go vet ./...
	GOOS=darwin go vet ./...
	$(STATICCHECK) ./...
	go mod tidy -diff
	go mod verify

fuzz: ## Run every fuzz target for FUZZTIME (default 10s)
	@grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r file; do \
		grep -oE '^func Fuzz[A-Za-z0-9_]+' "$$file" | cut -c6- | while read -r target; do \
			echo "$$(dirname "$$file") $$target"; \
			go test "$$(dirname "$$file")" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) || exit 1; \
		done || exit 1; \
	done

golden: ## Renew the golden files; read the difference before committing it
	go test . ./tools ./schema ./internal/transcript ./internal/hosts -update
	go test ./internal/app -run 'TestManifest|TestRegistryEntry|TestDiagnosisText' -update

bench: build ## Measure against the simulator and a bare Go program (RUN=start|notice|rate|flight|ledger|upload|http for one)
	go run ./internal/bench -binary $(BIN) $(filter-out .,$(RUN))
	go test -run '^$$' -bench . -benchmem ./schema ./internal/redact ./internal/transport

chaos: build ## Kill servers at random on a simulator that fails, and audit the bills (SEED=n for a known run)
	go run ./internal/chaos -binary $(BIN) $(if $(SEED),-seed $(SEED))

compat: build ## Check the simulator with fal's official client (needs Node 20 and npm)
	cd testdata/compat && npm ci --no-fund --no-audit && FALSIM_BIN="$(CURDIR)/$(BIN)" npm test

conformance: build ## Check the transports with MCP's conformance suites, the schemas with the Inspector (needs Node 20 and npm)
	go vet -tags conformance ./internal/conformance
	go build -trimpath -tags conformance -o bin/conformance ./internal/conformance
	cd testdata/conformance && npm ci && CONFORMANCE_BIN="$(CURDIR)/bin/conformance" NEMOTRON_MCP_BIN="$(CURDIR)/$(BIN)" npm test

clients: build ## Check the server with the TypeScript SDK's clients on each transport (needs Node 20 and npm)
	cd testdata/clients && npm ci && NEMOTRON_MCP_BIN="$(CURDIR)/$(BIN)" npm test

page: build ## Check the page of serve --http in headless Chromium (needs Node 20, npm and Chromium)
	@command -v "$(CHROMIUM)" >/dev/null || { echo "make page needs Chromium at $(CHROMIUM): install it (Debian: apt-get install chromium), or set CHROMIUM to it"; exit 1; }
	go build -trimpath -o bin/seed ./internal/page/seed
	cd testdata/page && npm ci && NEMOTRON_MCP_BIN="$(CURDIR)/$(BIN)" SEED_BIN="$(CURDIR)/bin/seed" CHROMIUM="$(CHROMIUM)" npm test

# Every file of a release, for each platform; the bundles are packed by mcpb.
MCPB     := testdata/mcpb/node_modules/@anthropic-ai/mcpb/dist/cli/cli.js
OUT      ?= dist/out
PACKAGES := go run ./internal/release -version '$(or $(VERSION),0.0.0)' -mcpb $(MCPB) $(if $(PLATFORMS),-platforms $(PLATFORMS))

release: $(MCPB) ## Make archives, bundles and checksums in dist/out for VERSION=1.2.3, server.json for OWNER=you too (needs Node 20 and npm)
	@[ -n "$(VERSION)" ] || { echo "say which: make release VERSION=1.2.3"; exit 1; }
	$(PACKAGES) -owner '$(OWNER)' -out $(OUT)

$(MCPB): testdata/mcpb/package-lock.json
	cd testdata/mcpb && npm ci && touch -c node_modules/@anthropic-ai/mcpb/dist/cli/cli.js

reproducible: $(MCPB) ## Make the release twice, in different folders and from no cache, and compare (PLATFORMS=linux/amd64 for one)
	dist/reproducible.sh '$(or $(VERSION),0.0.0)' '$(MCPB)' $(PLATFORMS)

packaging: build $(MCPB) ## Make a release and check all of it: bundles, server.json, image, completions, man page (Linux, root; needs Node 20, npm, zsh, fish, mandoc, groff)
	$(PACKAGES) -owner example -out $(OUT)
	cd $(OUT) && sha256sum --quiet -c checksums.txt
	cd testdata/mcpb && BUNDLE="$(CURDIR)/$(OUT)/nemotron-mcp_$(or $(VERSION),0.0.0)_linux_$$(go env GOARCH).mcpb" npm test
	cd testdata/packaging && go vet . && go build -o "$(CURDIR)/bin/packaging" . && "$(CURDIR)/bin/packaging" server-json "$(CURDIR)/$(OUT)/server.json"
	bin/packaging image . dist/Dockerfile $(BIN)
	testdata/packaging/completion.sh "$(CURDIR)/bin"
	$(BIN) man --date 2026-01-02 > bin/nemotron-mcp.1 && mandoc -Tlint -W style bin/nemotron-mcp.1
	@said="$$(groff -ww -man -Tutf8 bin/nemotron-mcp.1 2>&1 >/dev/null)"; [ -z "$$said" ] || { echo "$$said"; exit 1; }

cover: ## Print the coverage of each package
	go test -cover ./...

clean: ## Remove what was built
	rm -rf bin dist/out coverage.out testdata/*/node_modules
