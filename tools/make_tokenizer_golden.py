#!/usr/bin/env python3
"""Makes golden values for the tokenizers of src/text, by the package `tokenizers`.

    make_tokenizer_golden.py small OUT   tiny vocabularies, every part of a tokenizer.json; committed
    make_tokenizer_golden.py large OUT   20,000 lines through real vocabularies; needs test-data/

small: OUT/texts.json holds texts, OUT/tokenizer_<name>.json {"tokenizer": ..., "ids": [[...]],
"plain": [[...]], "literal": [[...]], "decoded": [...]}: tokens with BOS and the like, without, without
and with special tokens taken as plain characters, and the decoded "plain" ones. Lists that equal
"plain" are left out. OUT/patterns.json
holds for each regular expression the lengths in bytes of the pieces that it cuts the texts into.

large: OUT/kinds.json lists {"name", "gguf", "pre", "json"}. OUT/lines.bin holds the lines, each
after its length as 4 bytes. OUT/<name>.ids holds for each line the number of its tokens and the
tokens, as LEB128. OUT/<name>.hashes has 8 bytes a line: the FNV-1a hash of the decoded text. The
real vocabularies come from GGUF files, whose merges and tokens are put into the tokenizer.json that
the model family has published.
"""

import json
import pathlib
import random
import struct
import sys
import unicodedata

import tokenizers
from gguf import GGUFReader
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).parent.parent
MODELS = ROOT / "test-data/llama.cpp-models"
MARK = "\u2581"

# ---------------------------------------------------------------------------------------------------
# Texts

PHRASES = """\
It's what they'd've said: we'll see, I'm sure you're right; don't you? O'CLOCK, HE'S, WE'LL
The quick brown fox jumps over the lazy dog, 3 times in 2024 (or 12,345.678 times).
\u017fometimes '\u017f isn't '\u017ft 'S 'T 'Re 'vE 'LL 'Ll 'D 'm'm's
Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.
Portez ce vieux whisky au juge blond qui fume ; c'est l'été à Noël.
Жебракують філософи при ґанку церкви в Гадячі, ще й шатро їхнє п'яне знаємо.
Τάχιστη αλώπηξ βαφής ψημένη γη, δρασκελίζει υπέρ νωθρού κυνός.
דג סקרן שט בים מאוכזב ולפתע מצא חברה
نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر ٤٥٦٧
ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश १२३४
เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน ๑๒๓๔
视野无限广，窗外有蓝天。2024年3月15日，天气23℃。
いろはにほへと ちりぬるを、ワカヨタレソ ツネナラム。
다람쥐 헌 쳇바퀴에 타고파, 2024년 3월 15일
\u1112\u1161\u11ab\u1100\u1173\u11af e\u0301e\u0301 n\u0303 a\u0308\u0323 q\u0307\u0323
👨‍👩‍👧‍👦👩🏽‍🚀 🏳️‍🌈 🇺🇳🇦🇶 3️⃣ ☃️ 🫠 ❤️‍🔥
camelCaseWord HTTPServerError ǅungla ʰÀBC ǅǆǄ aBcDE XMLHttp2Request ªº
for (size_t i = 0; i < n; ++i) { a[i] += b[i] * 0x1F; }  // sum
def f(x: int) -> str:\\n\\treturn f"{x!r}" if x else 'none'\\n\\n\\n
\\t\\tif (a && b || !c) {\\r\\n\\t\\t\\treturn -1;\\r\\n\\t\\t}\\r\\n
SELECT "a", b FROM t WHERE c <> 'it''s' AND d LIKE '%x_';
<div class="x">&nbsp;</div> https://example.org/a/b?q=1&r=%20#top
3.141592653589793 1,000,000 007 1e-10 ½ ² Ⅻ ٣٤٥ 𝟘𝟙 ①②③ 一二三 〇
$100 €5 £3 ¥9 +1 -2 ×3 ÷4 ≠ ≤ ∑ √ ← ⇒ ░▒▓ ™ © § ¶ † …
/** comments **/ //// ----- ===== ***** ~~~~ \\\\\\\\ ``` ```python
<|endoftext|> <|im_start|>user\\nhi<|im_end|> <s>a</s> <unk> <|begin_of_text|><|eot_id|> <|end|>
""".splitlines()

SPACES = " \t\n\r\x0b\x0c\x85\xa0\u1680\u2000\u2003\u2009\u2028\u2029\u202f\u205f\u3000"


def stable_characters():
    """Characters that `tokenizers` and Unicode 14 normalize alike; marks only from Unicode 14."""
    form = normalizers.NFC()
    for code in range(0x110000):
        c = chr(code)
        if 0xD800 <= code < 0xE000 or (unicodedata.category(c) == "Co" and code % 997):
            continue
        if unicodedata.category(c) == "Cn" and not in_newer_unicode(c):
            continue
        if form.normalize_str(c) == unicodedata.normalize("NFC", c):
            yield c


NEWER = {}


def in_newer_unicode(c):
    if not NEWER:
        every = "".join(chr(x) for x in range(0x110000) if not 0xD800 <= x < 0xE000)
        known = pre_tokenizers.Split(Regex(r"[\p{L}\p{N}\p{S}\p{P}]+"), "removed")
        rest = "".join(piece for piece, _ in known.pre_tokenize_str(every))
        NEWER["set"] = set(every) - set(rest)
    return c in NEWER["set"]


class TextMaker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.every = list(stable_characters())
        self.newer = [c for c in self.every if unicodedata.category(c) == "Cn"]
        self.marks = [c for c in self.every if unicodedata.category(c)[0] == "M"]
        self.digits = [c for c in self.every if unicodedata.category(c)[0] == "N"]
        self.letters = [c for c in self.every if unicodedata.category(c)[0] == "L"]
        self.cased = [c for c in self.letters if unicodedata.category(c) != "Lo"]
        self.symbols = [c for c in self.every if unicodedata.category(c)[0] in "PS"]
        self.phrases = [p.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r") for p in PHRASES]
        english = ROOT / "test-data/english.txt"
        self.english = english.read_text().splitlines() if english.exists() else []
        self.english = [line for line in self.english if line.strip()] or self.phrases

    def some(self, characters, low, high):
        return "".join(self.random.choices(characters, k=self.random.randint(low, high)))

    def cut(self, lines):
        line = self.random.choice(lines)
        begin = self.random.randrange(len(line))
        return line[begin : begin + self.random.randint(1, 60)]

    def script(self):
        at = self.random.randrange(len(self.letters))
        return self.some(self.letters[at : at + 40], 1, 14)

    def part(self):
        choose = [
            lambda: self.cut(self.english),
            lambda: self.cut(self.english),
            lambda: self.cut(self.phrases),
            lambda: self.cut(self.phrases),
            lambda: self.cut(self.phrases),
            self.script,
            lambda: " " * self.random.randint(1, 20),
            lambda: self.some(SPACES, 1, 6),
            lambda: self.some("\r\n \t", 1, 6),
            lambda: self.some("0123456789", 1, 12),
            lambda: self.some(self.digits, 1, 5),
            lambda: self.some(self.symbols, 1, 5),
            lambda: self.some("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", 1, 8),
            lambda: self.some(self.cased, 1, 8),
            lambda: self.some(self.letters, 1, 3) + self.some(self.marks, 1, 3),
            lambda: self.some(self.every, 1, 6),
            lambda: self.some(self.newer, 1, 4),
            lambda: "'" + self.some("sStTmMdDrReEvVlL\u017f", 1, 3),
            lambda: self.some([chr(c) for c in range(32)] + ["\x7f", "\u200b", "\ufeff"], 1, 3),
        ]
        return self.random.choice(choose)()

    def line(self):
        joined = "".join(self.part() for _ in range(self.random.randint(1, 5)))
        # Neighbours may compose or reorder in ways that newer Unicode changed.
        if normalizers.NFC().normalize_str(joined) != unicodedata.normalize("NFC", joined):
            return self.line()
        return joined

    def lines(self, count):
        out = self.phrases + [self.line() for _ in range(count)]
        out += [unit * 3000 for unit in ("a", "ab", " ", "\n", "7", "漢", "é", "!", " \n", "\u0301")]
        return out


# ---------------------------------------------------------------------------------------------------
# The parts of published tokenizer.json files

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
GPT2 = {**BYTES, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}
NFC = {"type": "NFC"}


def split(regex):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}


def sequence(*nodes):
    return {"type": "Sequence", "pretokenizers": list(nodes)}


GPT2_REGEX = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
QWEN35 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BAILING = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
BAILING_PLAIN = r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
GPT4 = BAILING.replace(r"\p{N}|", r"\p{N}{1,3}|")
GPT4_NEW = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
LEAD, CONTRACTION = r"[^\r\n\p{L}\p{N}]?", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT4O = f"{LEAD}{UPPER}*{LOWER}+{CONTRACTION}|{LEAD}{UPPER}+{LOWER}*{CONTRACTION}" + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL
TEKKEN = f"{LEAD}{UPPER}*{LOWER}+|{LEAD}{UPPER}+{LOWER}*" + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL
NO_HAN = [s[:-1] + r"&&[^\p{Han}]]" for s in (UPPER, LOWER)]
KIMI = r"[\p{Han}]+|" + f"{LEAD}{NO_HAN[0]}*{NO_HAN[1]}+{CONTRACTION}|{LEAD}{NO_HAN[0]}+{NO_HAN[1]}*{CONTRACTION}" + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL
DEEPSEEK = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^""" + "\r\n" + r"""\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[""" + "\r\n]*|\\s*[\r\n]+" + r"|\s+(?!\S)|\s+"
KANA = "[一-龥\u3040-ゟ゠-ヿ]+"
CJK = "[一-龥\u0800-一가-\ud7ff]+"
ASCII_SYMBOLS = r"\s?[!-/:-~！-／：-～‘-‟　-。]+"
SEED_CODER = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
CASED = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝ"
    "Ὗ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳ"
    "Ꙁ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
)
DEEPSEEK_LLM = sequence(split("[\r\n]"), split(rf"\s?[{CASED}]+"), split(ASCII_SYMBOLS), split(r"\s+$"), split(CJK), DIGITS, BYTES)
DEEPSEEK_CODER = sequence(split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(CJK), DIGITS, BYTES)
DEEPSEEK_V3 = sequence(split(r"\p{N}{1,3}"), split(KANA), split(DEEPSEEK), BYTES)
FALCON = sequence({"type": "Punctuation", "behavior": "Contiguous"}, GPT2, {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]"))

LLAMA2_NORMALIZER = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": MARK}, {"type": "Replace", "pattern": {"String": " "}, "content": MARK}]}
REPLACE_MARK = {"type": "Replace", "pattern": {"String": MARK}, "content": " "}
LLAMA2_DECODER = {"type": "Sequence", "decoders": [REPLACE_MARK, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
GEMMA_DECODER = {"type": "Sequence", "decoders": [REPLACE_MARK, {"type": "ByteFallback"}, {"type": "Fuse"}]}
GEMMA_SPLIT = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}

# name, file, tokenizer.ggml.pre, pre-tokenizer, normalizer, fields of the model
BYTE_LEVEL_KINDS = [
    ("smollm2", "SmolLM2", "smollm", sequence(DIGITS, GPT2), None, {}),
    ("gpt-2", "gpt-2", "gpt-2", GPT2, None, {}),
    ("llama3", "llama-bpe", "llama-bpe", sequence(split(LLAMA3), BYTES), None, {"ignore_merges": True}),
    ("qwen2", "qwen2", "qwen2", sequence(split(QWEN2), BYTES), NFC, {}),
    ("qwen35", "qwen2", "qwen35", sequence(split(QWEN35), BYTES), NFC, {}),
    ("bailing", "qwen2", "bailingmoe", sequence(split(BAILING), BYTES), None, {}),
    ("gpt-4o", "qwen2", "gpt-4o", sequence(split(GPT4O), BYTES), None, {}),
    ("tekken", "llama-bpe", "tekken", sequence(split(TEKKEN), BYTES), None, {"ignore_merges": True}),
    ("kimi", "qwen2", "kimi-k2", sequence(split(KIMI), BYTES), None, {}),
    ("deepseek-v3", "qwen2", "deepseek-v3", DEEPSEEK_V3, None, {}),
    ("deepseek-llm", "deepseek-llm", "deepseek-llm", DEEPSEEK_LLM, None, {}),
    ("deepseek-coder", "deepseek-coder", "deepseek-coder", DEEPSEEK_CODER, None, {}),
    ("starcoder", "starcoder", "starcoder", sequence(DIGITS, GPT2), None, {}),
    ("refact", "refact", "refact", sequence(DIGITS, GPT2), None, {}),
    ("falcon", "falcon", "falcon", FALCON, None, {}),
    ("mpt", "mpt", "mpt", GPT2, NFC, {}),
    ("command-r", "command-r", "command-r", sequence(DIGITS, GPT2), NFC, {}),
    ("bloom", "gpt-2", "bloom", sequence(split(BLOOM), BYTES), None, {}),
    ("seed-coder", "gpt-2", "seed-coder", sequence(split(SEED_CODER), BYTES), None, {}),
]
PLAIN_KINDS = [
    ("llama2", "llama-spm", None, LLAMA2_NORMALIZER, LLAMA2_DECODER),
    ("gemma4", "gemma-4", GEMMA_SPLIT, LLAMA2_NORMALIZER["normalizers"][1], GEMMA_DECODER),
]


def gguf_path(name):
    if name == "SmolLM2":
        return ROOT / "models/SmolLM2-135M-Instruct.Q4_1.gguf"
    return MODELS / f"ggml-vocab-{name}.gguf"


FILES = {}


def read_gguf(name):
    """Tokens, types, scores and merges."""
    if name not in FILES:
        fields = GGUFReader(gguf_path(name)).fields
        FILES[name] = [fields[f"tokenizer.ggml.{key}"].contents() if f"tokenizer.ggml.{key}" in fields else None for key in ("tokens", "token_type", "scores", "merges")]
    return FILES[name]


def merges_of_scores(tokens, scores):
    """All ways to make a piece from two others, by falling score of the piece, then by number."""
    numbers = {token: i for i, token in enumerate(tokens)}
    merges = []
    for piece, score in zip(tokens, scores):
        ways = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        ways = [way for way in ways if way[0] in numbers and way[1] in numbers]
        ways.sort(key=lambda way: (numbers[way[0]], numbers[way[1]]))
        merges += [(way, score) for way in ways]
    merges.sort(key=lambda merge: merge[1], reverse=True)
    return [list(way) for way, _ in merges]


def added_token(number, content, special, **fields):
    token = {"id": number, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special}
    return {**token, **fields}


def tokenizer_file(tokens, types, merges, pre, normalizer, decoder, model, post=None):
    added = [added_token(i, token, types[i] in (2, 3)) for i, token in enumerate(tokens) if types[i] in (2, 3, 4)]
    fields = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False}
    vocab = {token: i for i, token in enumerate(tokens)}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": normalizer, "pre_tokenizer": pre, "post_processor": post, "decoder": decoder, "model": {**fields, **model, "vocab": vocab, "merges": merges}}


def kinds():
    for name, file, pre_name, pre, normalizer, model in BYTE_LEVEL_KINDS:
        tokens, types, _, merges = read_gguf(file)
        merges = [merge.split(" ") for merge in merges]
        yield name, file, pre_name, tokenizer_file(tokens, types, merges, pre, normalizer, {**BYTES, "use_regex": True}, model)
    for name, file, pre, normalizer, decoder in PLAIN_KINDS:
        tokens, types, scores, merges = read_gguf(file)
        if merges is None:
            merges = merges_of_scores(tokens, scores)
        else:
            at = [merge.index(" ", 1) for merge in merges]
            merges = [[merge[:i], merge[i + 1 :]] for merge, i in zip(merges, at)]
        model = {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
        yield name, file, "", tokenizer_file(tokens, types, merges, pre, normalizer, decoder, model)


def leb128(value):
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def odd_tokens(tokenizer):
    """Added tokens of letters such as "ö": `tokenizers` takes them for bytes when it decodes, which
    gives no valid text. Here they are their own text."""
    if not isinstance(tokenizer.decoder, decoders.ByteLevel):
        return {}
    added = tokenizer.get_added_tokens_decoder()
    return {i: token.content for i, token in added.items() if not token.content.isascii()}


def decode(tokenizer, ids, odd):
    parts, run = [], []
    for number in ids:
        if number in odd:
            parts += [tokenizer.decode(run, skip_special_tokens=False), odd[number]]
            run = []
        else:
            run.append(number)
    return "".join(parts) + tokenizer.decode(run, skip_special_tokens=False)


def make_large(out):
    lines = TextMaker(1).lines(20000)
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "lines.bin", "wb") as file:
        for line in lines:
            data = line.encode()
            file.write(struct.pack("<I", len(data)) + data)
    made = []
    for name, gguf, pre, node in kinds():
        text = json.dumps(node, ensure_ascii=False)
        (out / f"{name}.tokenizer.json").write_text(text)
        tokenizer = Tokenizer.from_str(text)
        encodings = tokenizer.encode_batch(lines, add_special_tokens=False)
        with open(out / f"{name}.ids", "wb") as file:
            for encoding in encodings:
                file.write(b"".join(map(leb128, [len(encoding.ids)] + encoding.ids)))
        odd = odd_tokens(tokenizer)
        with open(out / f"{name}.hashes", "wb") as file:
            for encoding in encodings:
                text = decode(tokenizer, encoding.ids, odd)
                file.write(struct.pack("<Q", fnv1a(text.encode())))
        made.append({"name": name, "gguf": str(gguf_path(gguf).relative_to(ROOT)), "pre": pre})
        print(name, sum(len(e.ids) for e in encodings))
    (out / "kinds.json").write_text(json.dumps(made, indent=1))


# ---------------------------------------------------------------------------------------------------
# Small ones

REGEXES = [
    GPT2_REGEX, LLAMA3, QWEN2, QWEN35, BAILING, BAILING_PLAIN, GPT4, GPT4_NEW, GPT4O, TEKKEN, KIMI, DEEPSEEK,
    KANA, CJK, ASCII_SYMBOLS, SEED_CODER, BLOOM, rf"\s?[{CASED}]+", r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"\s+$",
    r"\p{N}", r"\p{N}+", r"\p{N}{1,3}", r"[0-9][0-9][0-9]", r"\p{Lu}\p{Ll}*|\h+|^.", r"[[a-z][0-9]]+", r"[^\p{S}\p{P}]+",
]  # fmt: skip


def trained(initial, pre_tokenizer, size, **fields):
    """A small model, as the "model" of a tokenizer.json."""
    tokenizer = Tokenizer(models.BPE(**fields))
    tokenizer.pre_tokenizer = pre_tokenizer
    names = ["continuing_subword_prefix", "end_of_word_suffix"]
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, initial_alphabet=initial, limit_alphabet=len(initial), **{k: v for k, v in fields.items() if k in names})
    tokenizer.train_from_iterator([p.replace("\\n", "\n") for p in PHRASES] * 3, trainer)
    return json.loads(tokenizer.to_str())["model"]


def with_tokens(model, tokens):
    for token in tokens:
        model["vocab"].setdefault(token, len(model["vocab"]))
    return model


def small_kinds():
    bytes_model = trained(pre_tokenizers.ByteLevel.alphabet(), pre_tokenizers.ByteLevel(), 420)
    letters = sorted(set("".join(PHRASES[:8])) | {MARK}) + [" "]
    letters = [c for c in letters if c.isascii() or c == MARK]
    plain = trained(letters, pre_tokenizers.Metaspace(), 260, unk_token="<unk>", fuse_unk=True)
    hexes = [f"<0x{i:02X}>" for i in range(256)]
    fallback = {**with_tokens(json.loads(json.dumps(plain)), ["<unk>", "<s>", "</s>"] + hexes), "byte_fallback": True}
    plain = with_tokens(plain, ["<unk>"])
    clip = trained(letters[:-1], pre_tokenizers.Whitespace(), 260, unk_token="<unk>", end_of_word_suffix="</w>")
    clip = with_tokens(clip, ["<unk>"])
    sharp = trained(letters[:-1], pre_tokenizers.Whitespace(), 260, unk_token="<unk>", continuing_subword_prefix="##")
    sharp = with_tokens(sharp, ["<unk>"])

    def file(model, pre, added=(), normalizer=None, decoder=None, post=None):
        added = [added_token(0, content, special, **fields) for content, special, fields in added]
        return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": normalizer, "pre_tokenizer": pre, "post_processor": post, "decoder": decoder, "model": model}

    def template(before, after, ids):
        item = lambda token: {"SpecialToken": {"id": token, "type_id": 0}}
        single = [*map(item, before), {"Sequence": {"id": "A", "type_id": 0}}, *map(item, after)]
        special = {token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in before + after}
        return {"type": "TemplateProcessing", "single": single, "pair": single + [{"Sequence": {"id": "B", "type_id": 0}}], "special_tokens": special}

    size = len(bytes_model["vocab"])
    ends = [("<s>", True, {}), ("</s>", True, {})]
    yield "roberta", file(bytes_model, {**GPT2, "add_prefix_space": True}, ends, None, GPT2, {"type": "RobertaProcessing", "sep": ["</s>", size + 1], "cls": ["<s>", size], "trim_offsets": True, "add_prefix_space": True})
    chat = [("<|im_start|>", True, {}), ("<|im_end|>", True, {"rstrip": True}), ("<tool>", False, {}), ("fox", False, {"single_word": True}), ("Ab", False, {"normalized": True}), ("<mask>", True, {"lstrip": True}), ("<tool>s", False, {})]
    ids = {"<|im_start|>": size, "<|im_end|>": size + 1}
    two = {"type": "Sequence", "processors": [BYTES, template(["<|im_start|>"], ["<|im_end|>"], ids)]}
    yield "llama3", file({**bytes_model, "ignore_merges": True}, sequence(split(LLAMA3), BYTES), chat, None, GPT2, two)
    yield "lowercase", file(bytes_model, sequence(split(QWEN2), BYTES), chat, {"type": "Lowercase"}, GPT2, None)
    yield "falcon", file(bytes_model, FALCON, ends, None, GPT2, {"type": "BertProcessing", "sep": ["</s>", size + 1], "cls": ["<s>", size]})
    yield "deepseek_v3", file(bytes_model, DEEPSEEK_V3, [("<｜User｜>", True, {}), ("öß", False, {})], {"type": "Sequence", "normalizers": []}, GPT2, None)
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for invert in (False, True):
            regex = {**split(r"\p{P}|\s"), "behavior": behavior, "invert": invert}
            name = "split_" + behavior.lower() + ("_inverted" if invert else "")
            yield name, file(bytes_model, sequence(regex, BYTES), (), None, GPT2, None)
    literal = {"type": "Split", "pattern": {"String": "e"}, "behavior": "MergedWithNext", "invert": False}
    yield "split_literal", file(bytes_model, sequence(literal, {"type": "WhitespaceSplit"}, DIGITS, BYTES), (), None, GPT2, None)
    mark = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "first", "split": False}
    ids = fallback["vocab"]
    bos = [("<unk>", True, {}), ("<s>", True, {}), ("</s>", True, {"normalized": True})]
    yield "llama2_first", file(fallback, mark, bos, None, LLAMA2_DECODER, template(["<s>"], [], ids))
    yield "llama2_legacy", file(fallback, None, bos, LLAMA2_NORMALIZER, LLAMA2_DECODER, template(["<s>"], ["</s>"], ids))
    yield "gemma", file(fallback, GEMMA_SPLIT, bos, LLAMA2_NORMALIZER["normalizers"][1], GEMMA_DECODER, None)
    always = {**mark, "prepend_scheme": "always", "split": True}
    yield "metaspace", file(plain, always, [("<unk>", True, {})], None, always, None)
    yield "metaspace_unfused", file({**plain, "fuse_unk": False}, {**always, "prepend_scheme": "never"}, (), None, {**always, "prepend_scheme": "never"}, None)
    yield "clip", file(clip, {"type": "Whitespace"}, [("<unk>", True, {})], {"type": "Lowercase"}, {"type": "BPEDecoder", "suffix": "</w>"}, None)
    yield "sharp", file(sharp, sequence({"type": "Whitespace"}, {"type": "Punctuation", "behavior": "Isolated"}), [("<unk>", True, {})], None, None, None)


MORE_TEXTS = ["", " ", "<|im_start|>user\nfox foxes fox<|im_end|>  \n then", "a <mask> b  <mask>", "<tool>s<tool> <tool", "AbAB ab", "<s>a</s> </s>b", "<｜User｜>öß höher", "▁a ▁▁b", "<0x41><unk>", "漢字仮名 ½", "x" * 99, "ab" * 60 + " " * 70]  # fmt: skip


def make_small(out):
    out.mkdir(parents=True, exist_ok=True)
    texts = TextMaker(2)
    texts = MORE_TEXTS + texts.phrases + [texts.line() for _ in range(40)]
    dump = lambda name, value: (out / f"{name}.json").write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    dump("texts", texts)
    cuts = []
    for regex in REGEXES:
        cut = pre_tokenizers.Split(Regex(regex), "isolated")
        pieces = [[len(piece.encode()) for piece, _ in cut.pre_tokenize_str(text)] for text in texts]
        cuts.append({"regex": regex, "pieces": pieces})
    dump("patterns", cuts)
    for name, node in small_kinds():
        tokenizer = Tokenizer.from_str(json.dumps(node))
        odd = odd_tokens(tokenizer)
        ids = [tokenizer.encode(text).ids for text in texts]
        plain = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        tokenizer.encode_special_tokens = True
        literal = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        made = {"tokenizer": node, "plain": plain}
        made |= {name: other for name, other in (("ids", ids), ("literal", literal)) if other != plain}
        # Normalized added tokens are decoded in their normalized form; Spate gives their own text.
        if node["decoder"] and name not in ("llama2_legacy", "lowercase"):
            made["decoded"] = [decode(tokenizer, numbers, odd) for numbers in plain]
        dump("tokenizer_" + name, made)


if __name__ == "__main__":
    (make_large if sys.argv[1] == "large" else make_small)(pathlib.Path(sys.argv[2]))
