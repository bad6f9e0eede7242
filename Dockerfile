# syntax=docker/dockerfile:1

# weir in one image: a static binary, no shell, not root. The first argument is
# the role: serve, ingest, segment, origin. Everything else is WEIR_*.

# The patch release that go.mod names; a test holds the two together.
ARG GO_VERSION=1.26.11
FROM --platform=$BUILDPLATFORM golang:${GO_VERSION} AS build
ENV GOCACHE=/cache/build GOMODCACHE=/cache/mod CGO_ENABLED=0
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/cache go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
RUN --mount=type=cache,target=/cache \
    GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/weir ./cmd/weir && \
    mkdir -p /out/data

FROM gcr.io/distroless/static-debian12:nonroot@sha256:afa5c872c891853ca7fcf1f12c3edb23f7eeef36189728842dd51042ff57f7ab
ARG VERSION=dev
LABEL org.opencontainers.image.title="weir" \
      org.opencontainers.image.description="RTMP in, HLS out, over a durable frame log" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /out/weir /weir
COPY LICENSE /LICENSE
# Only serve without --nats and --store keeps anything here.
COPY --from=build --chown=65532:65532 /out/data /data
VOLUME /data
# In a container localhost reaches nobody: listen on all addresses. Which ports
# the world sees is chosen where the container runs, and so is who may publish:
# without WEIR_PUBLISH_AUTH serve and ingest do not start.
ENV WEIR_RTMP=:1935 WEIR_HTTP=:8080 WEIR_DATA=/data
USER 65532:65532
EXPOSE 1935 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/weir", "health"]
ENTRYPOINT ["/weir"]
CMD ["serve"]
