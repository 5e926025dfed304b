#!/usr/bin/env bash
# helm.sh ARGUMENT...          runs "helm ARGUMENT..." (version 3 or later)
#
# Where there is no helm command, it is built from its published Go module once (about a minute on two cores) and
# kept in the cache directory.
set -uo pipefail
. "$(dirname "$0")/lib.sh"

if have helm && helm version --short 2>/dev/null | grep -qE '^v?[3-9]'; then
  exec helm "$@"
fi

MODULE=$ROOT/scripts/helm
VERSION=$(go_version "$MODULE/go.mod" helm.sh/helm/v3)
KUBERNETES=$(go_version "$MODULE/go.mod" k8s.io/client-go) # 0.34.1 is Kubernetes 1.34: what helm takes a cluster for
MINOR=${KUBERNETES#0.}
MINOR=${MINOR%%.*}
BINARY=$CACHE/bin/helm-$VERSION

build() {
  [ ! -x "$BINARY" ] || return 0
  have go || die "there is no helm command: install Helm 3, or install Go 1.24 or newer so that it can be built"
  mkdir -p "$CACHE/bin"
  cd "$MODULE" || exit 1
  CGO_ENABLED=0 step "building helm $VERSION" 60 1800 "$CACHE/logs/helm.log" \
    go build -mod=readonly -trimpath -buildvcs=false \
    -ldflags "-s -w -X helm.sh/helm/v3/internal/version.version=v$VERSION \
      -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=$MINOR \
      -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=$MINOR" \
    -o "$BINARY.part" helm.sh/helm/v3/cmd/helm
  mv "$BINARY.part" "$BINARY"
}

[ -x "$BINARY" ] || (with_lock helm 1900 build) || exit 1
exec "$BINARY" "$@"
