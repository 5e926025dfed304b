#!/usr/bin/env bash
# system-packages.sh           makes sure that the system's tools for the data-path tests are there
#
# As root on Debian or Ubuntu what is missing is installed; elsewhere it is named and this fails. What only the
# containers need (an engine, debootstrap) is the business of docker-engine.sh and build-images.sh.
set -uo pipefail
. "$(dirname "$0")/lib.sh"

NEEDS=(ip:iproute2 nft:nftables unshare:util-linux nsenter:util-linux setpriv:util-linux flock:util-linux) # command:package
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # where a user's PATH may not look

missing=() packages=()
for pair in "${NEEDS[@]}"; do
  have "${pair%%:*}" || { missing+=("${pair%%:*}"); packages+=("${pair#*:}"); }
done
[ ${#missing[@]} -gt 0 ] || exit 0
have_apt || die "the tests need ${missing[*]} (Debian's packages: ${packages[*]}): install them, or run this as root on Debian or Ubuntu"
apt_install "${packages[@]}"
