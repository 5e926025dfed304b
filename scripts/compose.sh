#!/usr/bin/env bash
# compose.sh ARGUMENT...       runs "docker compose ARGUMENT..." (version 2 or later)
#
# Where the docker command has no compose plugin, it is built from its published Go module once (about a minute
# and a half on two cores) and kept in the cache directory. It has a BuildKit client of its own: buildx is not needed.
set -uo pipefail
. "$(dirname "$0")/lib.sh"

if have docker && docker compose version >/dev/null 2>&1; then
  exec docker compose "$@"
fi

MODULE=$ROOT/tests/images/compose
VERSION=$(go_version "$MODULE/go.mod" github.com/docker/compose/v2)
BINARY=$CACHE/bin/docker-compose-$VERSION

build() {
  [ ! -x "$BINARY" ] || return 0
  have go || die "this docker command has no compose plugin: install it, or install Go 1.24 or newer so that it can be built"
  mkdir -p "$CACHE/bin"
  cd "$MODULE" || exit 1
  CGO_ENABLED=0 step "building docker compose $VERSION" 90 1800 "$CACHE/logs/compose.log" \
    go build -mod=readonly -trimpath -buildvcs=false \
    -ldflags "-s -w -X github.com/docker/compose/v2/internal.Version=v$VERSION" \
    -o "$BINARY.part" github.com/docker/compose/v2/cmd
  mv "$BINARY.part" "$BINARY"
}

[ -x "$BINARY" ] || (with_lock compose 1900 build) || exit 1
exec "$BINARY" "$@"
