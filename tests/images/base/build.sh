#!/usr/bin/env bash
# Makes the image $IMAGE: a small Debian 12 with ca-certificates, from the Debian mirror that this machine's apt uses.
#
# Environment, given by scripts/build-images.sh: IMAGE, INPUTS (label), WORK (an empty directory), MIRROR and
# SECURITY (archive addresses), MACHINE_CA (a file with the machine's own certificate authorities, maybe empty).
set -euo pipefail

rootfs=$WORK/rootfs
debootstrap --variant=minbase --include=ca-certificates bookworm "$rootfs" "$MIRROR"

# The image trusts what the machine trusts, so that pip and apt work in builds behind an intercepting proxy.
# The public authorities come with the ca-certificates package; only the machine's own ones are added.
awk -v dir="$rootfs/usr/local/share/ca-certificates" \
  '/-----BEGIN CERTIFICATE-----/ { n++; file = sprintf("%s/machine-%03d.crt", dir, n) } file { print >file }
   /-----END CERTIFICATE-----/ { close(file); file = "" }' "$MACHINE_CA"
chroot "$rootfs" update-ca-certificates

cat >"$rootfs/etc/apt/sources.list" <<LIST
deb $MIRROR bookworm main
deb $MIRROR bookworm-updates main
deb $SECURITY bookworm-security main
LIST
# Documentation is left out of this image and of what is installed on top of it; licences stay.
cat >"$rootfs/etc/dpkg/dpkg.cfg.d/slim" <<'CFG'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
CFG
cat >"$rootfs/etc/apt/apt.conf.d/slim" <<'CFG'
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "3";
Dpkg::Use-Pty "false";
CFG
printf '#!/bin/sh\nexit 101\n' >"$rootfs/usr/sbin/policy-rc.d" # no service starts in a build
chmod +x "$rootfs/usr/sbin/policy-rc.d"

export DEBIAN_FRONTEND=noninteractive
chroot "$rootfs" apt-get -q update
chroot "$rootfs" apt-get -q -y dist-upgrade
chroot "$rootfs" apt-get clean
rm -rf "$rootfs"/var/lib/apt/lists/* "$rootfs"/var/cache/* "$rootfs"/var/log/* "$rootfs"/etc/resolv.conf \
  "$rootfs"/usr/share/{info,locale}/* "$rootfs"/etc/hostname
find "$rootfs/usr/share/doc" -type f ! -name copyright -delete
find "$rootfs/usr/share/man" -type f -delete # the directories stay: some packages link into them

tar -C "$rootfs" --one-file-system --numeric-owner -c . | docker import \
  --change "LABEL ledgerlb.inputs=$INPUTS" --change 'CMD ["bash"]' \
  --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
  --change 'ENV LANG=C.UTF-8' - "$IMAGE"
rm -rf --one-file-system "$rootfs"
