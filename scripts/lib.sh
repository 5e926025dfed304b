# Shared by the scripts beside it; sourced, never run. Sets ROOT and CACHE and defines say, die and with_deadline.
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
  # Packages must not start services of their own: the engine is started by docker-engine.sh with a pid it knows.
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
