#!/usr/bin/env bash
# Makes the image $IMAGE. Environment: see scripts/build-images.sh.
set -euo pipefail
docker build --label "ledgerlb.inputs=$INPUTS" --build-arg "BASE_IMAGE=$BASE_IMAGE" -t "$IMAGE" "$(dirname "$0")"
