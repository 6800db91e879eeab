# Golden values of the tokenizers on 20,000 lines, by real vocabularies.
"$1" tools/make_tokenizer_golden.py large test-data/tokenizers
