#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Build wireguard.ko on a Debian system, against its newest installed headers and its linux-source package.
#   build-module.sh [SERIES-FOLDER]   in an empty folder; leaves wireguard.ko and release (the kernel it is for)
set -e
headers=$(find /usr/src -maxdepth 1 -name 'linux-headers-*-amd64' | sort -V | tail -n 1)
tarball=$(find /usr/src -maxdepth 1 -name 'linux-source-*.tar.xz' | sort -V | tail -n 1)
tar --extract --xz --strip-components=1 -f "$tarball" --wildcards '*/drivers/net/wireguard/*'
if [ -n "$1" ]; then
    [ ! -d "$1/src" ] || cp -r "$1/src/." drivers/net/wireguard/
    sed '/^#/d' "$1/series" >series
    while read -r name; do
        echo "applying $name"
        patch -p1 --forward --batch --no-backup-if-mismatch <"$1/patches/$name"
    done <series
fi
make -C "$headers" M="$PWD/drivers/net/wireguard" CONFIG_WIREGUARD=m -j"$(nproc)" modules
strip --strip-debug -o wireguard.ko drivers/net/wireguard/wireguard.ko
basename "$headers" | sed s/linux-headers-// >release
