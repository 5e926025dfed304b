# Shared by the scripts beside it; sourced, never run. Sets ROOT, CACHE (absolute) and the versions of the images.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${LEDGERLB_CACHE_DIR:-$ROOT/.cache}
case $CACHE in /*) ;; *) CACHE=$PWD/$CACHE ;; esac

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# have_apt: whether packages can be installed here (root on a Debian-like system).
have_apt() { have apt-get && [ "$(id -u)" = 0 ]; }

# apt_install PACKAGE...: install what is missing. Waits at most five minutes for another apt to finish.
apt_install() {
  have_apt || die "need the package(s) $*: install them, or run this as root on Debian or Ubuntu"
  local missing=() package log=$CACHE/logs/apt.log
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  mkdir -p "$CACHE/logs"
  say "installing ${missing[*]} with apt-get (about a minute; log $log)"
  if ! { DEBIAN_FRONTEND=noninteractive timeout 300 apt-get -q -o DPkg::Lock::Timeout=300 update &&
         DEBIAN_FRONTEND=noninteractive timeout 900 apt-get -q -y -o DPkg::Lock::Timeout=300 \
           install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    die "apt-get could not install ${missing[*]}; the log is $log"
  fi
}

# with_lock NAME SECONDS COMMAND...: run COMMAND while no other process of this cache directory holds NAME.
# The lock's descriptor is closed for COMMAND, so a daemon that it leaves behind does not keep the lock.
with_lock() {
  local name=$1 seconds=$2; shift 2
  mkdir -p "$CACHE"
  local fd
  exec {fd}>"$CACHE/$name.lock"
  flock -w "$seconds" "$fd" || die "another process has held $CACHE/$name.lock for $seconds s; end it or remove the file"
  "$@" {fd}>&-
  local code=$?
  exec {fd}>&-
  return $code
}

# --- Images: versions and names, each said in one place -------------------------------------------------------

# go_version FILE MODULE: the version that a go.mod requires of MODULE, without the leading v.
go_version() { awk -v module="$2" '{ for (i = 1; i < NF; i++) if ($i == module) { sub(/^v/, "", $(i + 1)); print $(i + 1); exit } }' "$1"; }

KUBERNETES_VERSION=$(go_version "$ROOT/tests/images/kube-apiserver/go.mod" k8s.io/kubernetes)
ETCD_VERSION=$(go_version "$ROOT/tests/images/etcd/go.mod" go.etcd.io/etcd/server/v3)
KAFKA_VERSION=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$ROOT/tests/images/kafka/pom.xml")
PYTHON_VERSION=3.11

# local_image NAME: the image that build-images.sh makes.
local_image() {
  case $1 in
    base) echo ledgerlb.local/base:bookworm ;;
    python) echo "ledgerlb.local/python:$PYTHON_VERSION" ;;
    kafka) echo "ledgerlb.local/kafka:$KAFKA_VERSION" ;;
    etcd) echo "ledgerlb.local/etcd:$ETCD_VERSION" ;;
    kube-apiserver) echo "ledgerlb.local/kube-apiserver:v$KUBERNETES_VERSION" ;;
    *) return 1 ;;
  esac
}

# public_image NAME: the published image that does the same.
public_image() {
  case $1 in
    python) echo "python:$PYTHON_VERSION-slim-bookworm" ;;
    kafka) echo "apache/kafka:$KAFKA_VERSION" ;;
    etcd) echo "registry.k8s.io/etcd:$ETCD_VERSION-0" ;;
    kube-apiserver) echo "registry.k8s.io/kube-apiserver:v$KUBERNETES_VERSION" ;;
    *) return 1 ;;
  esac
}

# image_here IMAGE: whether the engine has it.
image_here() { docker image inspect "$1" >/dev/null 2>&1; }

# step WHAT ABOUT LIMIT LOG COMMAND...: run COMMAND with its output in LOG, saying every 20 s that it goes on.
# ABOUT and LIMIT are seconds; COMMAND is an external program and is ended at LIMIT.
step() {
  local what=$1 about=$2 limit=$3 log=$4 pid began=$SECONDS told=$SECONDS code; shift 4
  mkdir -p "$(dirname "$log")"
  say "$what (about $about s; log $log)"
  timeout --kill-after=10 "$limit" "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if [ $((SECONDS - told)) -ge 20 ]; then
      told=$SECONDS
      say "  $what: $((SECONDS - began)) of about $about s"
    fi
  done
  wait "$pid"; code=$?
  trap - INT TERM
  [ $code -ne 124 ] || say "$what took longer than $limit s and was ended"
  if [ $code -ne 0 ]; then
    tail -n 30 "$log" >&2
    die "failed (code $code): $what; the last lines are above, all of them in $log"
  fi
  say "  $what: done in $((SECONDS - began)) s"
}
