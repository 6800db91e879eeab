#!/usr/bin/env bash
# Installs what building and testing need on Debian 12 and Ubuntu 24.04. Does nothing, and needs no
# rights, when all of it is there.
set -euo pipefail

packages=(
  build-essential cmake ninja-build ccache pkg-config
  libsimdjson-dev libcli11-dev libboost-dev libpcre2-dev libutf8proc-dev libxxhash-dev
  libgtest-dev clang libclang-rt-dev clang-format
  python3 python3-venv unzip valgrind
)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed$' ||
    missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

echo "installing: ${missing[*]}"
if [ "$(id -u)" -eq 0 ]; then
  as_root=()
elif command -v sudo >/dev/null; then
  as_root=(sudo)
else
  echo "these packages are missing and neither root rights nor sudo are there to install them" >&2
  exit 2
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
