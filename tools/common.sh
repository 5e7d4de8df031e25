# SPDX-License-Identifier: Apache-2.0 OR MIT
# shellcheck shell=bash
#
# What the scripts in tools/ share. To be sourced; leaves the caller in the repository's root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cores=$(nproc)

say() { printf '\n== %s\n' "$*"; }

# The summary's keys, out of a JSON summary: json_value KEY FILE.
json_value() { sed -nE 's/.*"'"$1"'": *"?([^",}]*)"?.*/\1/p' "$2" | head -n 1; }
