#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# Compares UringIo (depth 32) and DirectIo (depth 1) with fio's io_uring and psync engines: 4 KiB random O_DIRECT reads of one written 1 GiB file, in
# interleaved rounds that take turns at going first. Prints each round, the medians and the ratios with their bounds; 1 when a bound is missed.
#
# usage: tools/benchmarks/io_vs_fio.sh PATH_OF_io_bench [SCRATCH_DIRECTORY]
#   ROUNDS (9) and SECONDS_EACH (3) from the environment. The scratch directory must be on the disk to measure; the file is removed.
set -eu

bench=${1:-}
scratch=${2:-.}
rounds=${ROUNDS:-9}
seconds=${SECONDS_EACH:-3}
if [ ! -x "$bench" ] || [ ! -d "$scratch" ]; then
  echo "io_vs_fio: no benchmark program or no scratch directory" >&2
  echo "say: $0 BUILD/tools/benchmarks/io_bench DIRECTORY" >&2
  exit 2
fi
command -v fio >/dev/null || { echo "io_vs_fio: fio is missing" >&2; echo "install the package fio" >&2; exit 3; }

work=$(mktemp -d "$scratch/io_vs_fio.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
file=$work/data
fio --name=fill --filename="$file" --size=1g --rw=write --bs=1m --direct=1 --end_fsync=1 --minimal >/dev/null

# fio's defaults otherwise: neither registered buffers nor files; field 8 is read IOPS.
run_fio() {
  fio --name=read --filename="$file" --size=1g --rw=randread --bs=4k --direct=1 --ioengine="$1" --iodepth="$2" --time_based \
    --runtime="$seconds" --output-format=terse --terse-version=3 | cut -d';' -f8
}
run_ours() {
  "$bench" --file="$file" --seconds="$seconds" --benchmark_filter="$1" --benchmark_format=csv 2>/dev/null |
    awk -F, '/^"/ { printf "%d\n", $7 }'
}

# compare NAME OURS_FILTER FIO_ENGINE DEPTH BOUND
compare() {
  : >"$work/ours"
  : >"$work/fio"
  round=0
  while [ "$round" -lt "$rounds" ]; do
    if [ $((round % 2)) -eq 0 ]; then
      a=$(run_ours "$2"); b=$(run_fio "$3" "$4")
    else
      b=$(run_fio "$3" "$4"); a=$(run_ours "$2")
    fi
    echo "$a" >>"$work/ours"
    echo "$b" >>"$work/fio"
    echo "  $1 round $((round + 1)): ours $a, fio $b"
    round=$((round + 1))
  done
  ours=$(sort -n "$work/ours" | sed -n "$((rounds / 2 + 1))p")
  theirs=$(sort -n "$work/fio" | sed -n "$((rounds / 2 + 1))p")
  awk -v name="$1" -v ours="$ours" -v fio="$theirs" -v bound="$5" 'BEGIN {
    printf "%s: median IOPS ours %d, fio %d, ratio %.3f (bound %.2f)\n", name, ours, fio, ours / fio, bound
    exit ours / fio < bound
  }'
}

status=0
compare "UringIo depth 32 against fio io_uring" '^uring_read_4k_depth_32' io_uring 32 0.95 || status=1
compare "DirectIo depth 1 against fio psync" '^direct_read_4k_depth_1' psync 1 0.97 || status=1
exit "$status"
