#!/usr/bin/env bash
# up.sh KUBECONFIG             builds the service images and runs docker-compose.yml against the cluster, until healthy
set -uo pipefail
. "$(dirname "$0")/lib.sh"

STATE=$CACHE/compose/${COMPOSE_PROJECT_NAME:-ledgerlb}
WAIT_SECONDS=180
SERVICES=(cli watcher network-selector ipam ecmp-programmer)
PREFIX=${LEDGERLB_IMAGE_PREFIX:-ledgerlb} TAG=${LEDGERLB_TAG:-0.1.0}

source_file=${1:-}
[ -n "$source_file" ] || die "which cluster? make up KUBECONFIG=PATH"
[ -r "$source_file" ] || die "kubeconfig $source_file cannot be read"

where=$("$ROOT/.venv/bin/python" "$ROOT/scripts/kubeconfig.py" "$source_file" "$STATE/kubeconfig") || exit 1
export LEDGERLB_KUBECONFIG=$STATE/kubeconfig

"$ROOT/scripts/docker-engine.sh" ensure || exit 1
# An image of our own is built if the published one cannot be had; what was named by hand is taken as it is.
for name in python kafka; do
  image=$("$ROOT/scripts/image-name.sh" "$name") || exit 1
  [ "$image" != "$(local_image "$name")" ] || "$ROOT/scripts/build-images.sh" "$name" || exit 1
  setting=LEDGERLB_IMAGE_${name^^}
  export "$setting=$image"
done

for service in "${SERVICES[@]}"; do
  step "building $PREFIX/$service:$TAG" 10 900 "$CACHE/logs/image-$service.log" \
    docker build --build-arg "BASE_IMAGE=$LEDGERLB_IMAGE_PYTHON" --build-arg "SERVICE=$service" \
    -t "$PREFIX/$service:$TAG" "$ROOT"
done

files=(-f "$ROOT/docker-compose.yml")
if [ "$where" = loopback ]; then
  say "the API server is on this machine's loopback address: the watcher shares the host's network"
  files+=(-f "$ROOT/docker-compose.loopback.yml")
fi
printf '%s\n' "${files[@]}" >"$STATE/files"

say "starting (up to $WAIT_SECONDS s)"
if ! "$ROOT/scripts/compose.sh" "${files[@]}" up --detach --no-build --remove-orphans --wait --wait-timeout "$WAIT_SECONDS"; then
  "$ROOT/scripts/compose.sh" "${files[@]}" ps --all >&2
  "$ROOT/scripts/compose.sh" "${files[@]}" logs --tail 15 >&2
  die "not everything became healthy within $WAIT_SECONDS s; the state and the last lines are above"
fi

kafka=127.0.0.1:${LEDGERLB_KAFKA_PORT:-19092}
cat <<TEXT

LedgerLB runs. The event log is Kafka at $kafka:

  export LEDGERLB_LOG=kafka://$kafka
  .venv/bin/ledgerlb services            what every Service got, and why
  .venv/bin/ledgerlb tail                decisions as they are made

  service            health, readiness, metrics
  watcher            http://127.0.0.1:${LEDGERLB_WATCHER_PORT:-18081}/healthz  /readyz  /metrics
  network-selector   http://127.0.0.1:${LEDGERLB_NETWORK_SELECTOR_PORT:-18082}/…
  ipam               http://127.0.0.1:${LEDGERLB_IPAM_PORT:-18083}/…
  planner            http://127.0.0.1:${LEDGERLB_PLANNER_PORT:-18084}/…
  agent (record)     http://127.0.0.1:${LEDGERLB_AGENT_PORT:-18085}/…

Logs: scripts/compose.sh logs -f SERVICE    Stop: make down
TEXT
