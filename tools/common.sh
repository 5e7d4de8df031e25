# SPDX-License-Identifier: Apache-2.0 OR MIT
# shellcheck shell=bash
#
# What the scripts in tools/ share. To be sourced; leaves the caller in the repository's root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cores=$(nproc)

say() { printf '\n== %s\n' "$*"; }

# configured PRESET [CMAKE-ARGS...]: configures a preset unless that was done before (ninja notices what changed since).
configured() {
  local preset=$1
  shift
  [ -f "build/$preset/build.ninja" ] || cmake --preset "$preset" "$@"
}

# The summary's keys, out of a JSON summary: json_value KEY FILE.
json_value() { sed -nE 's/.*"'"$1"'": *"?([^",}]*)"?.*/\1/p' "$2" | head -n 1; }
