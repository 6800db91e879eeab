#!/usr/bin/env python3
"""Makes golden values for the normalizers and the SentencePiece models of src/text.

    make_vocab_golden.py small OUT   a few hundred lines and small vocabularies; committed
    make_vocab_golden.py large OUT   20,000 lines, trained and real vocabularies; needs test-data/

Expected values come from sentencepiece, tokenizers and unicodedata. Each file OUT/<name>.json is

    {"vocabulary": {fields of GGUF metadata}, "texts": FILE, "ids": [[...], ...]}
    {"tokenizer": {tokenizer.json}, "texts": FILE, "ids": [[...], ...], "decoded": [...]}
    {"normalizer": {node of tokenizer.json}, "texts": FILE, "normalized": [...]}
    {"rules": {fields of SentencePieceRules}, "texts": FILE, "normalized": [...]}

where OUT/FILE holds the array of texts. All of them use characters of Unicode 14 only, less those
whose properties the old tables inside `tokenizers` do not know yet.
"""

import argparse
import base64
import io
import json
import pathlib
import random
import struct
import unicodedata

import sentencepiece
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
SPACE = "\u2581"
USER_DEFINED_PIECES = ["<sep>", "<pad>!", "foo" + SPACE + "bar", "::", ":::"]


# ---------------------------------------------------------------------------------------------------
# Texts


def bert(**on):
    flags = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**(flags | on))


def known_characters():
    """Assigned in Unicode 14, and the same to `tokenizers` and unicodedata."""
    forms = [(getattr(normalizers, form)(), form) for form in ("NFC", "NFD", "NFKC", "NFKD")]
    marks, nonspacing = normalizers.StripAccents(), bert(strip_accents=True)
    clean, lower = bert(clean_text=True), normalizers.Lowercase()
    for code in range(0x110000):
        c = chr(code)
        kind = unicodedata.category(c)
        if kind in ("Cn", "Cs") or (kind == "Co" and code % 997):
            continue
        gone = c == "\0" or c == "\ufffd" or (kind in ("Cc", "Cf", "Co") and c not in "\t\n\r")
        if (
            all(n.normalize_str(c) == unicodedata.normalize(form, c) for n, form in forms)
            and (marks.normalize_str(c) == "") == (kind[0] == "M")
            and (nonspacing.normalize_str(c) == "") == (kind == "Mn")
            and (clean.normalize_str(c) == "") == gone
            and lower.normalize_str(c) == c.lower()
        ):
            yield c


PHRASES = """\
Der Zug fährt über München nach Zürich; die Straße heißt „Am Größten“.
Où est l'hôtel ? À côté de la gare, près du café « Chez Noël ».
El niño comió piñas y ¿qué más? ¡Mañana!
Zażółć gęślą jaźń. Příliš žluťoučký kůň úpěl ďábelské ódy.
İstanbul'da ışık, Iğdır'da ıhlamur.
Tiếng Việt có nhiều dấu thanh: ngữ, nghiêng, đường.
Съешь же ещё этих мягких французских булок, да выпей чаю.
Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία ὈΔΥΣΣΕΎΣ.
שלום עולם, נִקּוּד לְדֻגְמָה.
السلام عليكم ورحمة الله ١٢٣٤٥ ﷺ ﻻ
हिन्दी में लिखा हुआ एक वाक्य, क्षत्रिय ज्ञान १२३।
தமிழ் மொழியில் ஒரு வாக்கியம்.
ภาษาไทยไม่มีช่องว่างระหว่างคำ น้ำ ๑๒๓
中文没有空格，但有标点符号。“你好，世界！”
日本語はひらがなとカタカナと漢字を混ぜて書く。ｶﾞｷﾞｸﾞ ㍿ ① ㌔
한국어는 띄어쓰기가 있다. 각 \u1100\u1161\u11a8 \uac00\u11a8
ქართული ენა, հայերեն լեզու, አማርኛ ቋንቋ
👩‍👩‍👧‍👦 👍🏽 🇩🇪🇫🇷 ❤️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿 1️⃣ 🤷🏻‍♀️
x² + y³ ≠ ½·√(∑ᵢ aᵢ) ﬁn ﬂow Ⅷ ℌ ａｂｃ ＡＢＣ ™ …
Z̸̢̛a̷̳͝l̵̰̐g̶̦̈́ö̴́ ạ̈ ạ̈ ä̱́ ế ệ
for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; }  // total
def f(x: int) -> dict[str, int]:\n\treturn {"k": x ** 2, 'n': None}
SELECT * FROM t WHERE a <> 'it''s' AND b LIKE '%_x%';
<div class="a b">&nbsp;&amp;</div> https://example.org/?q=a%20b&x=1#top
3.14159265358979 1,000,000 -273.15 0x1F 1e-10 12:34:56 2024-02-29
<sep> a<sep>b foo bar ::: :::: <pad>! <unk> <s></s> <0x41> ▁ ▁▁x
""".splitlines()


class TextMaker:
    def __init__(self, seed, english):
        self.random = random.Random(seed)
        self.known = sorted(set(known_characters()))
        known = set(self.known)
        self.marks = [c for c in self.known if unicodedata.combining(c)]
        self.letters = [c for c in self.known if unicodedata.category(c)[0] == "L"]
        self.plain = PHRASES + english
        self.pieces = ["".join(c for c in line if c in known) for line in self.plain]
        self.pieces = [line.replace("\\n", "\n").replace("\\t", "\t") for line in self.pieces]

    def words(self):
        words = self.random.choice(self.pieces).split(" ")
        start = self.random.randrange(len(words))
        return " ".join(words[start : start + self.random.randint(1, 12)])

    def some(self, characters, low, high):
        return "".join(self.random.choices(characters, k=self.random.randint(low, high)))

    def part(self):
        kind = self.random.randrange(14)
        if kind < 6:
            return self.words()
        return [
            lambda: " " * self.random.randint(1, 40),
            lambda: self.some("0123456789", 1, 40),
            lambda: self.some(self.known, 1, 8),
            lambda: self.some(self.letters, 1, 3) + self.some(self.marks, 1, 6),
            lambda: self.some("\t\n\r\v\f\0\x1f\x7f\x85\u00a0\u2028\u3000\u200b\u200d\ufeff\ufffd", 1, 4),
            lambda: self.some("ab", 1, 30),
            lambda: self.some(USER_DEFINED_PIECES + ["foo bar", ":", SPACE, " "], 1, 4),
            lambda: self.random.choice(self.letters) * self.random.randint(1, 12),
        ][kind - 6]()

    def line(self):
        glue = self.random.choice(["", " ", " ", "  "])
        return glue.join(self.part() for _ in range(self.random.randint(1, 6)))

    def lines(self, count):
        lines = [""] + self.pieces[: len(PHRASES)]
        while len(lines) < count:
            lines.append(self.line())
        return lines[:count]

    def training(self, count):
        """Words only: random characters would fill a small vocabulary."""
        return self.pieces + [self.words() for _ in range(count)]

    def every_character(self, step):
        """All known characters, each behind a letter so that marks have something to join."""
        some = self.known[::step]
        return ["".join("|a" + c for c in some[i : i + 50]) for i in range(0, len(some), 50)]


# ---------------------------------------------------------------------------------------------------
# SentencePiece's model files: fields of a protocol buffer


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def field(number, value):
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def read_fields(data):
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = number()
        if key & 7 == 0:
            yield key >> 3, number()
        else:
            size = {2: number, 5: lambda: 4, 1: lambda: 8}[key & 7]()
            yield key >> 3, data[at : at + size]
            at += size


def read_model(proto):
    """The fields of GGUF metadata that a SentencePiece model would get."""
    out = {"tokens": [], "scores": [], "types": []}
    for number, value in read_fields(proto):
        if number == 1:
            piece = dict(read_fields(value))
            out["tokens"].append(piece[1].decode())
            out["scores"].append(struct.unpack("<f", piece[2])[0])
            out["types"].append(piece.get(3, NORMAL))
        elif number == 2:
            trainer = dict(read_fields(value))
            out["model"] = "llama" if trainer.get(3, 1) == 2 else "t5"
            out["unknown"] = trainer.get(40, 0)
        elif number == 3:
            spec = dict(read_fields(value))
            out["precompiled_charsmap"] = base64.b64encode(spec.get(2, b"")).decode()
            out["add_space_prefix"] = bool(spec.get(3, 1))
            out["remove_extra_whitespaces"] = bool(spec.get(4, 1))
    return out


def write_model(vocabulary):
    pieces = zip(vocabulary["tokens"], vocabulary["scores"], vocabulary["types"])
    byte_fallback = BYTE in vocabulary["types"]
    trainer = field(3, 2 if vocabulary["model"] == "llama" else 1) + field(35, int(byte_fallback))
    trainer += b"".join(field(n, vocabulary["tokens"][vocabulary["unknown"]]) for n in (45,))
    charsmap = base64.b64decode(vocabulary.get("precompiled_charsmap", ""))
    spec = field(1, "from_gguf") + field(2, charsmap)
    spec += field(3, int(vocabulary["add_space_prefix"]))
    spec += field(4, int(vocabulary["remove_extra_whitespaces"])) + field(5, 1)
    out = b"".join(field(1, field(1, p) + field(2, float(s)) + field(3, t)) for p, s, t in pieces)
    return out + field(2, trainer) + field(3, spec)


def read_gguf(name):
    import gguf

    reader = gguf.GGUFReader(f"test-data/llama.cpp-models/ggml-vocab-{name}.gguf")

    def get(key, default=None):
        at = reader.fields.get("tokenizer.ggml." + key)
        return default if at is None else at.contents()

    unigram = get("model") == "t5"
    charsmap = bytes(get("precompiled_charsmap", []))
    types = [int(t) for t in get("token_type")]
    # SentencePiece accepts one unknown piece only; files use the type for others too.
    unknown = get("unknown_token_id", types.index(UNKNOWN))
    types = [CONTROL if t == UNKNOWN and i != unknown else t for i, t in enumerate(types)]
    return {
        "model": get("model"),
        "tokens": get("tokens"),
        "scores": [float(s) for s in get("scores")],
        "types": types,
        "unknown": int(unknown),
        "precompiled_charsmap": base64.b64encode(charsmap).decode(),
        "add_space_prefix": bool(get("add_space_prefix", True)),
        "remove_extra_whitespaces": bool(get("remove_extra_whitespaces", unigram)),
    }


# ---------------------------------------------------------------------------------------------------
# Models


def train_sentencepiece(lines, size, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=size,
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
        character_coverage=0.98,
        max_sentence_length=100000,
        **options,
    )
    return read_model(model.getvalue())


# A few rules of every kind: one to many, many to one, to nothing, prefixes of each other, spaces.
SMALL_RULES = {
    "\t": " ", "\n": " ", "\r": " ", "\u00a0": " ", "\u3000": " ", "\u200b": "", "\x7f": "",
    "ﬁ": "fi", "½": "1\u20442", "①": "1", "㍿": "株式会社", "Ａ": "A", "ａ": "a", "™": "TM",
    "…": "...", "e\u0301": "\u00e9", "a\u0308": "\u00e4", "a\u0323\u0308": "\u1ea1\u0308",
    "\u30ab\u3099": "\u30ac", "ｶﾞ": "\u30ac", "ｶ": "\u30ab", "\u1100\u1161": "\uac00",
    "\u1100\u1161\u11a8": "\uac01", "👍🏽": "👍", "ﷺ": "صلى الله عليه وسلم",
}  # fmt: skip


def write_rules(path):
    codes = lambda text: " ".join(f"{ord(c):X}" for c in text)
    path.write_text("".join(f"{codes(a)}\t{codes(b)}\n" for a, b in SMALL_RULES.items()))
    return str(path)


def train_unigram_tokenizer(lines, size):
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=size, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
    )
    tokenizer.train_from_iterator(lines, trainer)
    return json.loads(tokenizer.to_str())


def unigram_tokenizer(vocabulary, byte_fallback):
    """The tokenizer.json of a SentencePiece model, as conversion scripts write it."""
    charsmap = vocabulary["precompiled_charsmap"]
    squeeze = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    metaspace = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "Precompiled", "precompiled_charsmap": charsmap}, squeeze],
        },
        "pre_tokenizer": metaspace,
        "post_processor": None,
        "decoder": metaspace,
        "model": {
            "type": "Unigram",
            "unk_id": vocabulary["unknown"],
            "vocab": [[t, s] for t, s in zip(vocabulary["tokens"], vocabulary["scores"])],
            "byte_fallback": byte_fallback,
        },
    }


# ---------------------------------------------------------------------------------------------------
# Files


class Writer:
    def __init__(self, out):
        self.out = out
        out.mkdir(parents=True, exist_ok=True)

    def put(self, name, value):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        (self.out / f"{name}.json").write_text(text)

    def texts(self, name, texts):
        self.put(name, texts)
        self.named = name + ".json"
        self.current = texts

    def spm(self, name, vocabulary):
        processor = sentencepiece.SentencePieceProcessor(model_proto=write_model(vocabulary))
        ids = [processor.encode(text) for text in self.current]
        self.put(name, {"vocabulary": vocabulary, "texts": self.named, "ids": ids})

    def tokenizer(self, name, description):
        tokenizer = tokenizers.Tokenizer.from_str(json.dumps(description))
        ids = [tokenizer.encode(text).ids for text in self.current]
        decoded = [tokenizer.decode(each, skip_special_tokens=False) for each in ids]
        self.put(
            name,
            {"tokenizer": description, "texts": self.named, "ids": ids, "decoded": decoded},
        )

    def normalizer(self, name, node, apply=None):
        if apply is None:
            shell = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
                     "normalizer": node, "pre_tokenizer": None, "post_processor": None,
                     "decoder": None,
                     "model": {"type": "Unigram", "unk_id": 0, "vocab": [["u", 0.0]]}}  # fmt: skip
            apply = tokenizers.Tokenizer.from_str(json.dumps(shell)).normalizer.normalize_str
        normalized = [apply(text) for text in self.current]
        self.put(name, {"normalizer": node, "texts": self.named, "normalized": normalized})

    def rules(self, name, **rules):
        processor = sentencepiece.SentencePieceNormalizer(
            model_proto=write_model(
                {"model": "t5", "tokens": ["<unk>"] + rules["user_defined"], "unknown": 0,
                 "scores": [0.0] * (1 + len(rules["user_defined"])),
                 "types": [UNKNOWN] + [USER_DEFINED] * len(rules["user_defined"]),
                 "precompiled_charsmap": rules["charsmap"],
                 "add_space_prefix": rules["add_space_prefix"],
                 "remove_extra_whitespaces": rules["remove_extra_spaces"]}  # fmt: skip
            ),
            escape_whitespaces=rules["escape_spaces"],
            add_dummy_prefix=rules["add_space_prefix"],
            remove_extra_whitespaces=rules["remove_extra_spaces"],
        )
        normalized = [processor.normalize(text) for text in self.current]
        self.put(name, {"rules": rules, "texts": self.named, "normalized": normalized})


def write_normalizers(writer, charsmap):
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        apply = lambda text, form=form: unicodedata.normalize(form, text)
        writer.normalizer(f"normalizer-{form.lower()}", {"type": form}, apply)
    bert_fields = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    nodes = {
        "lowercase": {"type": "Lowercase"},
        "strip": {"type": "Strip", "strip_left": True, "strip_right": True},
        "strip-left": {"type": "Strip", "strip_left": True, "strip_right": False},
        "strip-accents": {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]},
        "nmt": {"type": "Nmt"},
        "byte-level": {"type": "ByteLevel"},
        "prepend": {"type": "Prepend", "prepend": SPACE},
        "replace": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
        "replace-regex": {"type": "Replace", "pattern": {"Regex": r"[\t\n\r\p{Z}]|\p{N}{3}|^a"}, "content": "<\\1>"},
        "precompiled": {"type": "Precompiled", "precompiled_charsmap": charsmap},
        "bert": {"type": "BertNormalizer", **dict(zip(bert_fields, (True, True, None, True)))},
        "bert-cased": {"type": "BertNormalizer", **dict(zip(bert_fields, (True, True, None, False)))},
        "bert-accents": {"type": "BertNormalizer", **dict(zip(bert_fields, (False, False, True, False)))},
    }  # fmt: skip
    for name, node in nodes.items():
        writer.normalizer("normalizer-" + name, node)
    for i, flags in enumerate([(True, True, True), (False, True, True), (True, False, False)]):
        writer.rules(
            f"rules-{i}",
            charsmap=charsmap,
            remove_extra_spaces=flags[0],
            add_space_prefix=flags[1],
            escape_spaces=flags[2],
            user_defined=USER_DEFINED_PIECES if i == 1 else [],
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("size", choices=["small", "large"])
    parser.add_argument("out", type=pathlib.Path)
    arguments = parser.parse_args()
    large = arguments.size == "large"
    writer = Writer(arguments.out)
    english = pathlib.Path("test-data/english.txt").read_text().split("\n\n") if large else []
    maker = TextMaker(5, english)
    lines = maker.lines(20000 if large else 150)
    training = maker.training(4000 if large else 600)
    rules = write_rules(arguments.out / "rules.tsv")
    small_map = dict(normalization_rule_tsv=rules)
    kind = dict(normalization_rule_name="nmt_nfkc") if large else small_map
    size = 4000 if large else 700

    unigram = train_sentencepiece(
        training, size, model_type="unigram", user_defined_symbols=USER_DEFINED_PIECES, **kind
    )
    unigram_bytes = train_sentencepiece(
        training, size, model_type="unigram", byte_fallback=True, **small_map
    )
    bpe = train_sentencepiece(
        training, size, model_type="bpe", byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False,
        user_defined_symbols=USER_DEFINED_PIECES,
    )  # fmt: skip
    bpe_unknown = train_sentencepiece(
        training, size, model_type="bpe", split_by_whitespace=False, **kind
    )
    (arguments.out / "rules.tsv").unlink()

    writer.texts("texts", lines)
    writer.spm("unigram", unigram)
    writer.spm("unigram-bytes", unigram_bytes)
    writer.spm("bpe", bpe)
    writer.spm("bpe-unknown", bpe_unknown)
    # Every third piece is unused, as SentencePiece's restricted vocabularies have it.
    types = [UNUSED if t == NORMAL and i % 3 == 0 else t for i, t in enumerate(bpe["types"])]
    writer.spm("bpe-unused", {**bpe, "types": types})
    writer.tokenizer("tokenizer-unigram", unigram_tokenizer(unigram, False))
    writer.tokenizer("tokenizer-unigram-bytes", unigram_tokenizer(unigram_bytes, True))
    writer.tokenizer("tokenizer-trained", train_unigram_tokenizer(training, size))
    if large:
        for name in ("llama-spm", "phi-3", "baichuan"):
            writer.spm(name, read_gguf(name))
        multilingual = read_gguf("nomic-bert-moe")
        writer.spm("xlm-r", multilingual)
        writer.tokenizer("tokenizer-xlm-r", unigram_tokenizer(multilingual, False))

    normalizer_lines = lines[: 4000 if large else 60] + maker.every_character(1 if large else 40)
    writer.texts("normalizer-texts", normalizer_lines)
    write_normalizers(writer, unigram["precompiled_charsmap"])


if __name__ == "__main__":
    main()
