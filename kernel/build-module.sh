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
series=$(echo "$release" | cut -d . -f 1,2)
tarball=$(find /usr/src -maxdepth 1 -name "linux-source-$series*.tar.*" | sort -V | tail -n 1)
if [ -z "$tarball" ]; then
    echo "there is no source of Linux $series in /usr/src: install linux-source-$series" >&2
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
