# Everything that is run on this tree by hand or by machine. Bare make: help.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PKG     ?= ./...
B       ?= .
T       ?= 1m
W       ?= $(PURE)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# The only path out of the checkout that tests know: tool binaries.
export PATH := $(CURDIR)/bin:$(PATH)

.PHONY: help
help: ## print this
	@echo 'make TARGET [VARIABLE=value]'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/weir, one static binary (VERSION=v1.2.3)
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/weir ./cmd/weir

.PHONY: quick
quick: ## vet, and test all that needs no encoder, browser or server: under a minute
	go vet ./...
	go test -short ./...

.PHONY: test
test: ## install what tests need where it is missing, then vet and test all
	@$(MAKE) --no-print-directory -j2 deps bin/.tools
	@$(MAKE) --no-print-directory vet
	@$(MAKE) --no-print-directory -k -j3 test-pure test-rooms test-shows

.PHONY: vet
vet: ## vet, the long tests too
	go vet -tags soak ./...

# The race detector is for what has goroutines of its own, and to build it for
# what does not takes a fresh machine minutes. Whole shows take weir as it ships:
# they are what a slow machine makes slower, and make soak runs them with the
# detector. They mostly wait, and so run beside the rooms.
PURE  := ./media/... ./remux/... ./rtmp/... ./hls/... ./check/...
ROOMS := ./api/... ./auth/... ./bus/... ./endpoint/... ./ingest/... ./origin/... ./segmenter/...
SHOWS := ./internal/e2e/...
REST   = ./bench/... ./cmd/... ./storage/... $$(go list ./internal/... | grep -v /e2e/)

.PHONY: test-pure
test-pure: ## test the pure rooms, and what needs no race detector
	go test -vet=off $(PURE) $(REST)

.PHONY: test-rooms
test-rooms: ## test what has goroutines, with the race detector
	go test -vet=off -race -p 2 -parallel 4 $(ROOMS)

.PHONY: test-shows
test-shows: ## test whole shows with real encoders, servers and browsers
	go test -vet=off -p 2 -parallel 3 -timeout 14m $(SHOWS)

.PHONY: static
static: tidy vet386 lint vulns ## all that looks at the code and runs none of it

.PHONY: tidy
tidy: ## want go.mod and go.sum of every module as go mod tidy leaves them
	@git ls-files '*go.mod' | while read -r mod; do echo "go mod tidy -diff in $$(dirname $$mod)"; go -C "$$(dirname $$mod)" mod tidy -diff; done

.PHONY: vet386
vet386: ## vet for a machine of 32 bits: no length or timestamp may need more (W=./... for all)
	CGO_ENABLED=0 GOARCH=386 go vet $(W)

.PHONY: vulns
vulns: bin/.vulns ## want no known vulnerability in what weir calls; says so where the data cannot be had
	@.ci/vulns

bin/.vulns: internal/tools/vulns/go.mod internal/tools/vulns/go.sum
	GOBIN=$(CURDIR)/bin go -C internal/tools/vulns install tool
	@touch $@

.PHONY: deps
deps: ## install the Debian packages that tests need (needs root only where one is missing)
	@.ci/deps

# Tools are modules of their own, so that weir's go.mod names only what ships.
bin/.tools: internal/tools/go.mod internal/tools/go.sum
	GOBIN=$(CURDIR)/bin go -C internal/tools install tool
	@touch $@

.PHONY: bench
bench: ## run the benchmarks (PKG=./remux/... B=Mux); docs/performance.md keeps the results
	go test -run '^$$' -bench '$(B)' -benchmem $(PKG)

.PHONY: bench-peers
bench-peers: deps bin/.tools build ## measure weir beside nginx-rtmp, in turn (B='-streams 20,100,200 -windows 5'): minutes
	go run ./bench/peers $(if $(filter-out .,$(B)),$(B))

.PHONY: fuzz
fuzz: ## run every fuzz target for T=10m each (B=Chunk: those whose name matches)
	@.ci/fuzz '$(T)' '$(B)'

.PHONY: soak
soak: bin/.tools ## run the long tests, built with the tag soak, for T=1h
	WEIR_SOAK='$(T)' go test -race -tags soak -run Soak -count 1 -timeout 0 -v $(PKG)

.PHONY: cover
cover: deps bin/.tools ## test with coverage over all packages; the figures by function
	@mkdir -p .cache
	go test -timeout 10m -coverpkg ./... -coverprofile .cache/cover.out $(PKG)
	go tool cover -func .cache/cover.out

.PHONY: lint
lint: bin/.lint ## run golangci-lint (the first time it is built: minutes)
	bin/golangci-lint run --allow-parallel-runners $(PKG)

bin/.lint: internal/tools/lint/go.mod internal/tools/lint/go.sum
	GOBIN=$(CURDIR)/bin go -C internal/tools/lint install tool
	@touch $@

.PHONY: image
image: ## build the container image with docker (VERSION=v1.2.3)
	docker build --build-arg VERSION=$(VERSION) -t weir:$(VERSION) .

.PHONY: clean
clean: ## remove what was built and the media that tests made
	rm -rf bin .cache weir-data
