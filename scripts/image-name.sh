#!/usr/bin/env bash
# image-name.sh kafka|kube-apiserver|etcd|python
#
# Prints the name of the image to use: what LEDGERLB_IMAGE_KAFKA (..._KUBE_APISERVER, ..._ETCD, ..._PYTHON) says;
# else the published image if the engine has it or can pull it; else the one that build-images.sh makes.
# That no registry answers is remembered in the cache directory for a day.
set -uo pipefail
. "$(dirname "$0")/lib.sh"

REGISTRY_SECONDS=5
PULL_SECONDS=600

name=${1:-}
if ! { local_name=$(local_image "$name") && public=$(public_image "$name"); }; then
  sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi

setting=LEDGERLB_IMAGE_${name//-/_}
setting=${setting^^}
if [ -n "${!setting:-}" ]; then
  echo "${!setting}"
  exit 0
fi

# The registry is asked for the manifest first, which is quick either way; only then is the image pulled.
pull() {
  image_here "$public" && return 0
  local remembered=$CACHE/images/$name.unreachable log=$CACHE/logs/pull-$name.log
  mkdir -p "${remembered%/*}"
  if [ -n "$(find "$remembered" -mmin -1440 2>/dev/null)" ] && [ "$(cat "$remembered")" = "$public" ]; then
    return 1
  fi
  if timeout "$REGISTRY_SECONDS" docker manifest inspect "$public" >/dev/null 2>&1 &&
    (step "pulling $public" 60 "$PULL_SECONDS" "$log" docker pull "$public"); then
    rm -f "$remembered"
    return 0
  fi
  say "$public cannot be pulled here: $local_name stands in for it"
  echo "$public" >"$remembered"
  return 1
}

if pull; then echo "$public"; else echo "$local_name"; fi
