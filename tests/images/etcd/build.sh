#!/usr/bin/env bash
# Makes the image $IMAGE from the published etcd server module. Environment: see scripts/build-images.sh.
set -euo pipefail
cd "$(dirname "$0")"

if [ ! -x "$BINARY" ]; then
  CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false -ldflags='-s -w' -o "$BINARY.part" .
  mv "$BINARY.part" "$BINARY"
fi
cp Dockerfile "$WORK/"
cp "$BINARY" "$WORK/etcd"
docker build --label "ledgerlb.inputs=$INPUTS" -t "$IMAGE" "$WORK"
