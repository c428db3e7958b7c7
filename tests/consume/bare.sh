#!/bin/sh
# Installs Tern in each way of docs/installing.md on bare Debian machines, and types the first lines of the README there.
#
#     bare.sh [suite...]      bookworm and trixie by default; needs root, debootstrap and Debian's packages
#
# A machine is a directory that debootstrap makes, kept in build/bare. A row of the table installs only the packages that
# it names, after those of the rows before it. The checkout is a copy of this one, because it has no public address yet.
# TERN_MIRROR is the address of the packages.
set -eu

say() { echo "bare: $*" >&2; }

# ---- on this machine

# make_machine <suite> <directory>
make_machine() {
    base=build/bare/$1
    if [ ! -e "$base/made" ]; then
        say "making a machine with $1"
        rm -rf "$base"
        mkdir -p "$base"
        debootstrap --variant=minbase "$1" "$base/root" "${TERN_MIRROR:-http://deb.debian.org/debian}" >"$base/log" 2>&1 || {
            tail "$base/log" >&2
            say "cannot make a machine with $1"
            return 1
        }
        cp /etc/resolv.conf /etc/hosts "$base/root/etc/"
        # It reaches the packages as this machine does.
        apt-config dump | grep -E '^Acquire::(Check-|https?::|Retries)' >"$base/root/etc/apt/apt.conf.d/99host" || true
        touch "$base/made"
    fi
    rm -rf "$2"
    cp -a "$base/root" "$2"
    mkdir -p "$2/home/tern" "$2/home/lines"
    git ls-files -co --exclude-standard -z | xargs -0 tar -c | tar -x -C "$2/home/tern"
    python3 tests/examples/readme.py first_lines . "$2/home/lines"
    # Another broker of this machine may have the standard's port. Linux chooses ports from 32768 on by itself.
    port=$(python3 -c '
import random, socket
while True:
    port = random.randrange(20000, 32000)
    try:
        socket.socket().bind(("127.0.0.1", port))
        break
    except OSError:
        pass
print(port)')
    sed -i "s/ 1883\$/ $port/" "$2/home/lines/broker.sh" "$2/home/lines/program.sh"
}

# run_in <directory> <function>: the exit code is that of the function.
run_in() {
    chroot "$1" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        sh /home/tern/tests/consume/bare.sh --inside "$2"
}

on_this_machine() {
    [ "$(id -u)" = 0 ] || { say "needs root, for chroot" && exit 1; }
    [ $# != 0 ] || set -- bookworm trixie
    result=0
    for suite; do
        for what in rows first_lines; do
            machine=build/bare/$suite/machine
            if ! make_machine "$suite" "$machine" || ! run_in "$machine" "$what"; then
                result=1
            fi
            rm -rf "$machine"
        done
    done
    exit $result
}

# ---- on the bare machine

failures=0

# row <name> <packages> <command>...: prints a line of the table.
row() {
    name=$1
    packages=$2
    shift 2
    log=/tmp/log
    # A shell of its own, because in a condition a failed command does not end this one.
    # shellcheck disable=SC2086 # a list
    if { apt-get -qq install -y --no-install-recommends $packages && sh "$0" --run "$@"; } >$log 2>&1 </dev/null; then
        outcome=passed
    else
        tail -n 40 $log >&2
        outcome=FAILED
        failures=$((failures + 1))
    fi
    printf '| %s | %s | %s | %s |\n' "$machine" "$name" "$packages" "$outcome"
}

# build <project> <option>...: configures, builds and runs it.
build() {
    project=$1
    shift
    rm -rf /tmp/build
    cmake -S "/home/tern/tests/consume/$project" -B /tmp/build -G Ninja "$@"
    cmake --build /tmp/build
    /tmp/build/consumer
}

install_and_find() {
    cd /home
    awk '/^## /{here = ($0 == "## An install")} here && /^```/{block = ($0 == "```sh"); next} here && block' \
        tern/docs/installing.md >/tmp/install.sh
    [ "$(wc -l </tmp/install.sh)" = 3 ]
    sh -ex /tmp/install.sh
    build find_tern
    build find_core
    rm -rf /usr/local/share/tern /usr/local/include/tern
}

# port <features> <project>...
port() {
    features=$1
    shift
    cmake -DPORTFILE=/home/tern/cmake/vcpkg/tern/portfile.cmake -DCURRENT_PACKAGES_DIR=/tmp/packages -DBUILD_DIR=/tmp/port \
        "-DFEATURES=$features" -DGENERATOR=Ninja -DCOMPILER=c++ -P /home/tern/tests/consume/vcpkg_install.cmake
    for project; do build "$project" -DCMAKE_PREFIX_PATH=/tmp/packages; done
}

meson_subproject() {
    cmake -DMESON=meson -DTERN_SOURCE_DIR=/home/tern -DDIRECTORY=/tmp/meson -DCOMPILER=c++ \
        -P /home/tern/tests/consume/meson.cmake
}

without_build_system() {
    g++ -std=c++20 -DASIO_STANDALONE -I/home/tern/include /home/tern/tests/consume/main.cpp -o /tmp/consumer -pthread
    /tmp/consumer
}

rows() {
    tern=-DTERN_SOURCE_DIR=/home/tern
    row "subdirectory, tern::core alone" "g++ cmake ninja-build" build subdirectory_core $tern
    row "subdirectory" libasio-dev build add_subdirectory $tern
    row "an install, find_package" "" install_and_find
    row "without a build system" "" without_build_system
    row "vcpkg's port without features" "" port core find_tern
    row "FetchContent, tern::format and tern::compiled" libfmt-dev build fetch_content $tern
    row "vcpkg's port with all features" libssl-dev port "core;format;tls;compiled" find_package find_tls
    row "Meson" meson meson_subproject
}

# type_first_lines: as printed, but for `git clone`, which copies.
type_first_lines() {
    cd /home/lines
    git='git() { test "$1 $3" = "clone tern" && cp -a "$2" "$3"; }'
    export TERN=/home/tern
    sh -exc "$git
$(cat get.sh)"
    cd hello
    sh -exc "exec $(cat ../broker.sh)" >/tmp/broker 2>&1 &
    until grep listening /tmp/broker; do
        kill -0 $! || { cat /tmp/broker && exit 1; }
        sleep 1
    done
    sh -exc "$(cat ../program.sh)" | tee /tmp/program
    kill $!
    grep -x 'greetings: hello' /tmp/program
}

first_lines() { row "the first lines of the README" "" type_first_lines; }

if [ "${1:-}" = --run ]; then
    shift
    "$@"
    exit
fi
if [ "${1:-}" = --inside ]; then
    # shellcheck disable=SC1091
    machine="Debian $(. /etc/os-release && echo "$VERSION_ID")"
    apt-get -qq update >/tmp/update 2>&1 || { cat /tmp/update >&2 && exit 1; }
    "$2"
    exit $((failures != 0))
fi
cd "$(dirname "$0")/../.."
on_this_machine "$@"
