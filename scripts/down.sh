#!/usr/bin/env bash
# down.sh [--volumes]          stops what up.sh started; with --volumes the log is deleted as well
set -uo pipefail
. "$(dirname "$0")/lib.sh"

STATE=$CACHE/compose/${COMPOSE_PROJECT_NAME:-ledgerlb}
files=(-f "$ROOT/docker-compose.yml")
[ ! -r "$STATE/files" ] || mapfile -t files <"$STATE/files"
"$ROOT/scripts/docker-engine.sh" ensure || exit 1
"$ROOT/scripts/compose.sh" "${files[@]}" down --remove-orphans --timeout 40 "$@" || exit 1
rm -f "$STATE/kubeconfig" "$STATE/files"
