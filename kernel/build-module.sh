#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Build wireguard.ko on a Debian system, against the headers of a kernel and its linux-source package.
#   build-module.sh [SERIES-FOLDER] [RELEASE]   in an empty folder; leaves wireguard.ko, release (what it is for) and
#   netns.sh (WireGuard's own test, of the same source)
# Without a series the source is built as it is; without a release it is for the newest installed headers.
set -e
release=$2
if [ -z "$release" ]; then
    release=$(find /usr/src -maxdepth 1 -name 'linux-headers-*-amd64' | sort -V | tail -n 1 | sed 's/.*linux-headers-//')
fi
headers=/lib/modules/$release/build
[ -d "$headers" ] || headers=/usr/src/linux-headers-$release
# The source has the version of the release in its name: 6.12 of 6.12.48+deb13-amd64 on Debian, 6.8.0 of 6.8.0-45-generic
# on Ubuntu (linux-source-6.8.0, or linux-hwe-6.8-source-6.8.0). Another version is another kernel's.
full=$(echo "$release" | sed -E 's/^([0-9]+(\.[0-9]+)*).*/\1/')
series=$(echo "$full" | cut -d . -f 1,2)
tarball=
for version in "$full" "$series"; do
    [ -n "$tarball" ] || tarball=$(find /usr/src -maxdepth 1 \( -name "linux-source-$version.tar.*" -o \
        -name "linux-*-source-$version.tar.*" \) | sort | head -n 1)
done
if [ -z "$tarball" ]; then
    echo "there is no source of Linux $series in /usr/src: install linux-source-$series (Ubuntu: linux-source-$full)" >&2
    exit 1
fi
tar --extract --strip-components=1 -f "$tarball" --wildcards '*/drivers/net/wireguard/*' \
    '*/tools/testing/selftests/wireguard/netns.sh'
cp tools/testing/selftests/wireguard/netns.sh .
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
echo "$release" >release
