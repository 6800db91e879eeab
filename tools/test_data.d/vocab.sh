# Golden values of the normalizers and the SentencePiece models on 20,000 lines.
"$1" tools/make_vocab_golden.py large test-data/vocab
