#!/usr/bin/env bash
# build-images.sh [NAME...]      NAME: base, python, kafka, etcd, kube-apiserver
#
# Builds images that do what the published ones do, from package registries only, for a machine that reaches no
# image registry. With NAMEs it builds those. Without, it builds those that image-name.sh does not find
# published, and what they rest on. An image whose inputs have not changed is left as it is.
#
# Settings: LEDGERLB_CACHE_DIR (default .cache; binaries, jars, logs), LEDGERLB_CA_BUNDLE (a file with more
# certificate authorities to trust in the images, default: those in /usr/local/share/ca-certificates),
# LEDGERLB_DEBIAN_MIRROR and LEDGERLB_DEBIAN_SECURITY_MIRROR (default: what this machine's apt uses).
set -uo pipefail
. "$(dirname "$0")/lib.sh"

export CACHE
IMAGES=$CACHE/images
MACHINE_CA=$IMAGES/machine-ca.pem

parent() { case $1 in python | kafka) echo base ;; esac }

# Seconds that a first build takes on two cores, and the bound after which it is ended.
about() { case $1 in base) echo 40 ;; python) echo 15 ;; kafka) echo 40 ;; etcd) echo 40 ;; kube-apiserver) echo 300 ;; esac }
limit() { case $1 in kube-apiserver) echo 3600 ;; *) echo 1200 ;; esac }

version() {
  case $1 in
    python) echo "$PYTHON_VERSION" ;; kafka) echo "$KAFKA_VERSION" ;; etcd) echo "$ETCD_VERSION" ;;
    kube-apiserver) echo "$KUBERNETES_VERSION" ;; base) echo bookworm ;;
  esac
}

# archive LABEL: the address that this machine's apt uses for the archive with this label.
# shellcheck disable=SC2016 # apt expands the names
archive() {
  have apt-get && apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk -v label="$1" '$1 == label { print $2; exit }'
}

find_machine_settings() {
  mkdir -p "$IMAGES" "$CACHE/logs"
  if [ -z "${LEDGERLB_DEBIAN_MIRROR:-$(archive Debian)}" ] && have_apt; then
    # apt knows an archive's label only after it has fetched the lists once.
    timeout 300 apt-get -q -o DPkg::Lock::Timeout=300 update >"$CACHE/logs/apt.log" 2>&1 </dev/null
  fi
  export MIRROR=${LEDGERLB_DEBIAN_MIRROR:-$(archive Debian)}
  export SECURITY=${LEDGERLB_DEBIAN_SECURITY_MIRROR:-$(archive Debian-Security)}
  if [ -n "${LEDGERLB_CA_BUNDLE:-}" ]; then
    cat "$LEDGERLB_CA_BUNDLE" >"$MACHINE_CA" || die "LEDGERLB_CA_BUNDLE=$LEDGERLB_CA_BUNDLE cannot be read"
  else
    find /usr/local/share/ca-certificates -name '*.crt' 2>/dev/null | sort |
      while IFS= read -r file; do cat "$file"; echo; done >"$MACHINE_CA"
  fi
  export MACHINE_CA
}

# inputs NAME: a hash of everything that an image is made of.
inputs() {
  local files=("$ROOT/tests/images/$1"/*) above
  above=$(parent "$1")
  { version "$1"; uname -m
    (cd "$ROOT/tests/images/$1" && sha256sum -- "${files[@]##*/}")
    if [ "$1" = base ]; then echo "$MIRROR $SECURITY"; cat "$MACHINE_CA"; fi
    if [ -n "$above" ]; then inputs "$above"; fi
  } | sha256sum | cut -c1-16
}

need_tools() {
  case $1 in
    base)
      [ "$(id -u)" = 0 ] || die "only root can run debootstrap for $(local_image base): run this as root"
      have debootstrap || apt_install debootstrap
      if [ -z "$MIRROR" ] || [ -z "$SECURITY" ]; then
        die "no Debian mirror is configured for apt here: set LEDGERLB_DEBIAN_MIRROR and LEDGERLB_DEBIAN_SECURITY_MIRROR"
      fi ;;
    kafka) have mvn || apt_install maven default-jdk-headless ;;
    etcd | kube-apiserver) have go || die "need Go 1.24 or newer to build $(local_image "$1"): install it and put it on PATH" ;;
  esac
}

current() { [ "$(docker image inspect --format '{{index .Config.Labels "ledgerlb.inputs"}}' "$1" 2>/dev/null)" = "$2" ]; }

build() {
  local name=$1 image hash above work replaced
  image=$(local_image "$name") || die "unknown image $name: choose from base, python, kafka, etcd, kube-apiserver"
  hash=$(inputs "$name")
  current "$image" "$hash" && return 0
  above=$(parent "$name")
  [ -z "$above" ] || build "$above"
  need_tools "$name"
  replaced=$(docker image inspect --format '{{.Id}}' "$image" 2>/dev/null)
  mkdir -p "$CACHE/bin"
  # What an earlier, failed build left. debootstrap may have left /proc mounted in it, which must not be entered.
  rm -rf --one-file-system "$IMAGES/$name".??????
  work=$(mktemp -d "$IMAGES/$name.XXXXXX")
  IMAGE=$image INPUTS=$hash VERSION=$(version "$name") WORK=$work BINARY=$CACHE/bin/$name-$hash \
    BASE_IMAGE=${above:+$(local_image "$above")} \
    step "building $image" "$(about "$name")" "$(limit "$name")" "$CACHE/logs/image-$name.log" "$ROOT/tests/images/$name/build.sh"
  rm -rf --one-file-system "$work"
  [ -z "$replaced" ] || docker image rm "$replaced" >/dev/null 2>&1 # refused while something still rests on it
  find "$CACHE/bin" -name "$name-*" ! -name "$name-$hash" -delete
}

case ${1:-} in -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
"$ROOT/scripts/docker-engine.sh" ensure || exit 1
if [ $# -eq 0 ]; then
  for name in python kafka etcd kube-apiserver; do
    [ "$("$ROOT/scripts/image-name.sh" "$name")" = "$(local_image "$name")" ] && set -- "$@" "$name"
  done
fi
find_machine_settings
build_all() { local name; for name in "$@"; do build "$name"; done; }
[ $# -eq 0 ] || with_lock images 4200 build_all "$@"
