#!/usr/bin/env bash
# Makes the image $IMAGE from the published Kubernetes module. Environment: see scripts/build-images.sh.
set -euo pipefail
cd "$(dirname "$0")"

if [ ! -x "$BINARY" ]; then
  version=v$VERSION
  IFS=. read -r major minor _ <<<"$VERSION"
  flags='-s -w'
  # What /version answers is set by the linker; without it clients would see v0.0.0-master.
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
    flags+=" -X $package.gitTreeState=clean"
  done
  CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false -ldflags="$flags" -o "$BINARY.part" .
  mv "$BINARY.part" "$BINARY"
fi
cp Dockerfile "$WORK/"
cp "$BINARY" "$WORK/kube-apiserver"
docker build --label "ledgerlb.inputs=$INPUTS" -t "$IMAGE" "$WORK"
