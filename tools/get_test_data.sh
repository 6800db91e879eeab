#!/usr/bin/env bash
# Brings what tests compare with into test-data/ (ignored by git): vocabularies, chat templates and
# documentation out of the source package of llama-cpp-python, and the expected values that
# independent implementations (tokenizers, jinja2) give for them.
set -euo pipefail

cd "$(dirname "$0")/.."
package=llama-cpp-python
version=0.3.36
stamp=test-data/complete-$version-$(cat tools/make_*.py tools/get_test_data.sh | sha256sum | cut -c1-12)
[ -f "$stamp" ] && exit 0

[ -x .venv/bin/pip ] || python3 -m venv .venv
pip=(.venv/bin/pip --quiet --disable-pip-version-check)
"${pip[@]}" install tokenizers==0.23.3 jinja2==3.1.6 sentencepiece==0.2.3 gguf==0.19.0 \
  numpy==2.4.6 safetensors==0.8.0

if [ ! -f test-data/sources-$version ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  echo "getting the source package of $package $version (77 MB)"
  "${pip[@]}" download --no-deps --no-binary "$package" --dest "$folder" "$package==$version"
  tar -xzf "$folder"/*.tar.gz -C "$folder"
  source=$(echo "$folder"/llama_cpp_python-*/)
  mkdir -p test-data
  rm -rf test-data/llama.cpp-models
  cp -r "$source/vendor/llama.cpp/models" test-data/llama.cpp-models
  .venv/bin/python tools/make_english.py "$source" test-data/english.txt
  touch test-data/sources-$version
fi

for script in tools/test_data.d/*.sh; do
  echo "$script"
  bash "$script" .venv/bin/python
done
touch "$stamp"
