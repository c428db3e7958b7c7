#!/bin/sh
# Compiles the library and tests with one compiler and standard after the other, and runs these tests. Each row of the
# table is built in the release of Debian that has the compiler: on this machine if it runs that release, otherwise in a
# directory tree with it, which is made the first time and needs root.
#
#     versions.sh [row...]      the names of rows; all without a name
#     TERN_VERSIONS_TESTS=all   builds and runs most tests instead of some, and builds the examples
#     TERN_VERSIONS_TARGETS     builds only these targets, and runs no tests
#     TERN_VERSIONS_TREES       the directory of the trees (default: /var/tmp)
set -eu
cd "$(dirname "$0")/../.."

# Each row compiles every header, the engine and tests. `newest` takes everything from Debian's unstable release: the
# compiler, Asio, fmt and Catch2.
rows='
    gcc-11           bookworm  g++-11      20
    gcc-12           bookworm  g++-12      20
    gcc-13           trixie    g++-13      20
    gcc-14           trixie    g++-14      20
    gcc-14-c++23     trixie    g++-14      23
    gcc-14-c++26     trixie    g++-14      26
    clang-14         bookworm  clang++-14  20
    clang-15         bookworm  clang++-15  20
    clang-16         bookworm  clang++-16  20
    clang-17         trixie    clang++-17  20
    clang-18         trixie    clang++-18  20
    clang-19         trixie    clang++-19  20
    clang-19-c++23   trixie    clang++-19  23
    clang-19-c++26   trixie    clang++-19  26
    clang-19-libc++  bookworm  clang++-19  20  -stdlib=libc++ -DFMT_HEADER_ONLY
    clang-19-O1      bookworm  clang++-19  20  -O1
    clang-19-O2      bookworm  clang++-19  20  -O2
    newest           sid       g++         20
'
# Some tests are those in which compilers and versions of Asio differ most: coroutines and other completion tokens,
# literals that the compiler checks, and what counts allocations.
library="structure_every_header tern_compiled"
some="$library test_codec_vectors test_client_operations test_client_allocations"
all="$library examples/all test_codec_vectors test_codec_rules test_codec_inputs tests/topic/all tests/session/all
    tests/judge/all tests/client/all tests/network/all test_websocket_http test_websocket_machine
    test_websocket_client test_websocket_faults"

say() { echo "versions: $*" >&2; }

packages_of() {
    echo cmake ninja-build ccache python3 libasio-dev libfmt-dev libcli11-dev libssl-dev catch2
    case $1 in
        bookworm) echo g++-11 g++-12 clang-14 clang-15 clang-16 clang-19 libc++-19-dev libc++abi-19-dev ;;
        trixie) echo g++-13 g++-14 clang-17 clang-18 clang-19 ;;
        sid) echo g++ ;;
    esac
}

# Makes the tree of a release, or on a machine with that release installs the packages.
prepare() {
    packages=$(packages_of "$1" | xargs)
    if [ "$1" = "$host" ]; then
        # shellcheck disable=SC2086 # a list
        dpkg-query -W $packages >/dev/null 2>&1 || DEBIAN_FRONTEND=noninteractive \
            apt-get -qq -o DPkg::Lock::Timeout=600 install -y --no-install-recommends $packages >/dev/null
    elif [ ! -e "$trees/tern-$1/complete" ]; then
        say "making a tree of Debian $1, which takes some minutes"
        rm -rf "$trees/tern-$1"
        # A mirror may have a state of unstable that is some weeks old, whose signature is valid nevertheless.
        mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' \
            "--include=$(echo "$packages" | tr ' ' ,)" "$1" "$trees/tern-$1" http://deb.debian.org/debian ||
            return 1
        mkdir "$trees/tern-$1/tern"
        touch "$trees/tern-$1/complete"
    fi
}

# Runs a command in a release, in the directory of the project.
run_in() {
    release=$1
    shift
    if [ "$release" = "$host" ]; then
        "$@"
    else
        # shellcheck disable=SC2016 # the inner shell expands it
        unshare --mount sh -euc 'tree=$1; shift; mount --bind . "$tree/tern"; mount -t proc proc "$tree/proc"
            exec chroot "$tree" env --chdir=/tern CCACHE_DIR=/tern/build/versions/ccache LC_ALL=C.UTF-8 "$@"' \
            sh "$trees/tern-$release" "$@"
    fi
}

# build <row> <release> <compiler> <standard> [flag...]
build() {
    row=$1 release=$2 compiler=$3 standard=$4
    shift 4
    case ${TERN_VERSIONS_TESTS:-some} in
        all) targets=$all left_out='mqtt-packet' ;;
        *) targets=$some left_out='mqtt-packet|malformed packets are accepted' ;;
    esac
    targets=${TERN_VERSIONS_TARGETS:-$targets}
    prepare "$release" || return 1
    run_in "$release" cmake -S . -B "build/versions/$row" -G Ninja "-DCMAKE_CXX_COMPILER=$compiler" \
        "-DCMAKE_CXX_STANDARD=$standard" "-DCMAKE_CXX_FLAGS=$*" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-g0 \
        -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=0 -DCMAKE_COMPILE_WARNING_AS_ERROR=ON \
        -DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DTERN_TESTS=ON -DTERN_BENCHMARKS=OFF || return 1
    # shellcheck disable=SC2086 # a list
    run_in "$release" cmake --build "build/versions/$row" --target $targets || return 1
    [ -z "${TERN_VERSIONS_TARGETS:-}" ] || return 0
    run_in "$release" env TERN_WORLDS=100 ctest --test-dir "build/versions/$row" --output-on-failure -j 2 \
        -L '^(codec|topic|session|client|websocket)$' -E "$left_out" || return 1
}

# shellcheck disable=SC1091 # the system's file
host=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
trees=${TERN_VERSIONS_TREES:-/var/tmp}
mkdir -p build/versions
failed=
table=$(mktemp)
if [ $# = 0 ]; then
    echo "$rows" | awk NF >"$table"
fi
for name; do
    echo "$rows" | awk -v name="$name" '$1 == name { print; found = 1 } END { exit !found }' >>"$table" ||
        { say "there is no row '$name'" && exit 2; }
done
while read -r row release compiler standard flags; do
    say "$row"
    begun=$(date +%s)
    # shellcheck disable=SC2086 # flags
    if build "$row" "$release" "$compiler" "$standard" $flags >"build/versions/$row.log" 2>&1 </dev/null; then
        result="passed $(sed -n 's/^100% tests passed.* out of //p' "build/versions/$row.log") tests"
    else
        result="FAILED, see build/versions/$row.log"
        failed=1
    fi
    printf '%-16s %s (%d s)\n' "$row" "$result" $(($(date +%s) - begun))
done <"$table"
rm -f "$table"
[ -z "$failed" ]
