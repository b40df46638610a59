# syntax=docker/dockerfile:1
# The server, and nothing else. Its data is in /data, unless the stores are Redis and MongoDB (see docker-compose.yml).
#
#   docker build -t always-online .
#   docker run -p 3000:3000 -v always-online:/data --stop-timeout 30 always-online

# With a C compiler in it, for SQLite and the TLS library. Building needs no more.
FROM rust:1.94-slim-bookworm AS build
WORKDIR /build

# Dependencies first, with empty sources: this layer is built again only when a manifest or the lock file changes. The workspace's other packages and
# the benchmarks stay empty: their manifests are read, but nothing of them is built.
COPY Cargo.toml Cargo.lock ./
COPY stress/Cargo.toml stress/
COPY tests/support/Cargo.toml tests/support/
RUN mkdir -p src benches stress/src tests/support/src \
    && echo 'fn main() {}' | tee src/main.rs benches/hot.rs stress/src/main.rs \
    && touch src/lib.rs tests/support/src/lib.rs \
    && cargo build --profile ship --locked --package always-online \
    && rm -r src

COPY src src
COPY demo demo
# cargo goes by times: a copied file may be older than what was built of the empty one.
RUN find src -name '*.rs' -exec touch {} + \
    && cargo build --profile ship --locked --package always-online \
    && mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/ship/always-online /usr/local/bin/always-online
# Owned by the image's user (65532), and closed to others, as the server would make it. A new volume takes both over.
COPY --from=build --chown=65532:65532 --chmod=700 /data /data
# Loopback would be the container's own. The API answers administrators only, as its listener is no loopback address; the demo stays inside.
ENV AO_STORE__PATH=/data \
    AO_API__LISTEN=0.0.0.0:4000
VOLUME /data
EXPOSE 3000 4000
# No shell and no curl here: the program asks itself.
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/always-online", "health"]
ENTRYPOINT ["/usr/local/bin/always-online"]
