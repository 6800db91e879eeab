#!/usr/bin/env bash
# Every chat template of llama.cpp's collection with many conversations, rendered by jinja2.
set -euo pipefail
"$1" tools/make_chat_golden.py templates test-data/llama.cpp-models/templates \
  test-data/chat.jsonl.new
mv test-data/chat.jsonl.new test-data/chat.jsonl
