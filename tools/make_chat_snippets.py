r"""Small templates for tools/make_chat_golden.py; together they use every feature of the interpreter.

One template a line or, where it has several lines, a block of its own; by feature. `x` stands in the
request's arguments for whatever a group needs.
"""

DATA = {
    "n": None,
    "t": True,
    "i": 7,
    "f": 2.5,
    "s": "Hello wOrld",
    "u": "Grüße, 世界 🙂",
    "l": [3, 1, 2],
    "d": {"b": 2, "a": 1, "items": "x"},
    "users": [
        {"name": "Zoe", "age": 31, "tags": ["a", "b"], "home": {"city": "Bern"}},
        {"name": "adam", "age": 24, "tags": [], "home": {"city": "Ulm"}, "admin": True},
        {"name": "Bob", "age": 31, "home": {"city": "bern"}, "admin": False},
    ],
    "tree": [
        {"v": "1", "c": [{"v": "1.1", "c": []}, {"v": "1.2", "c": [{"v": "1.2.1"}]}]},
        {"v": "2"},
    ],
    "html": "<b>\"x\" & 'y'</b>",
}

# Every line is printed as {{ line }}.
EXPRESSIONS = r"""
1 + 2 * 3
7 // 2, -7 // 2, 7 // -2, 7 % 3, -7 % 3, 7 % -3
7 / 2, 4 / 2, 2 ** 10, 2 ** -1, 2 ** 3 ** 2, -2 ** 2
7.5 // 2, -7.5 // 2, 7.5 % 2, -7.5 % 2, 1e3, 1.5e-7
true + true, 1 + 1.5, 3 * 1.0, -true, +true, - -3
1_000_000, 0x_ff, 0b101, 0o17, 1_0.5_0, 1e1_0
9223372036854775807, -9223372036854775807
0.1 + 0.2, 1e16, 123456789012345680.0, 1e15, 0.0001, 0.00001, 1e22, 1.0, -0.0, 5e-324
1e308 * 10, -1e308 * 10
1 < 2, 1 < 2 < 3, 1 < 3 < 2, 1 == 1.0, 1 == true, "1" == 1, 1 != 2, 2 >= 2 > 1
"a" < "b", "a" < "B", [1, 2] < [1, 3], (1,) < (1, 2), [] == [], [1] == (1,)
{"a": 1} == {"a": 1.0}, none == none, none == false, missing == missing2, missing != none
1 in [1, 2], 4 not in [1], "a" in "cat", "a" in {"a": 1}, 1 in (2, 1), 2 in range(3)
not 1, not "", not [] and 1, 1 and 2, 0 and 2, 0 or "x", none or missing or 3
"yes" if t else "no", "yes" if n else "no", ("a" if n) ~ "|"
1 if n else 2 if n else 3
"a" ~ 1 ~ none ~ 2.0 ~ true ~ missing ~ [1, "x"]
"a" "b" 'c'
"a" + "b" * 2, 2 * "ab", "x" * -1, [1, 2] * 2, (1,) * 3
[1, 2] + [3], (1,) + (2,)
"tab\tnew\nquote\"back\\ \x41 \u00e9 \U0001F642 \101 \q \0"
'\é', "it's", 'say "x"', 'both \' and "'
[1, "a", none, true, 2.5, missing, {"k": (1,)}]
{"a": 1, 2: "b", none: [], (1, 2): {}}, {}, [], (), (1,), (1, 2)
["it's", 'q"q', "both'\"", "nl\n\t\r\\", "\x07\x7f\x85é\u200b\u2028🙂"]
{"a": 1, "a": 2}, {1: "x", 1.0: "y", true: "z"}
l[0], l[-1], l[5] is defined, l[1:], l[:-1], l[::-1], l[::2], l[-2:], l[5:], l[2:0:-1]
s[0], s[-1], s[1:3], s[::-1], s[:0], s[100:], u[0], u[2:4], u[::-1], u[7:], u[-1]
range(10)[2:8:3], range(5)[-1], range(5), range(1, 5, 2), range(3)[::-1]
d.a, d["b"], d.missing is defined, d["items"], d.items is string, d.items() is string
users[0].name, users[0]["home"].city, users.0.name, users[0].home["city"]
(1, 2)[0], "abc"[1], {"x": {"y": 5}}.x.y, [[1, 2], [3]][0][1]
l.count(1), l.index(2), (1, 2, 1).count(1), s.count("l"), d.get("a"), d.get("z"), d.get("z", 5)
d.keys() | list, d.values() | list, d.items() | list
d.keys(), d.values(), d.items()
"a" in d.keys(), 1 in d.values(), ("a", 1) in d.items(), d.items() | length
i.real, f.imag, true.numerator, i.bit_length(), 2.0.is_integer()
dict(a=1, b=2), dict({"x": 1}, y=2), dict([("a", 1), ("b", 2)]), dict.fromkeys(["a"])
{"a": 1}.copy(), [1].copy()
-1 | abs, (-1) | abs, - 3 | abs, (2 ** 2) | string
1 is odd, 2 is even, 9 is divisibleby 3, 9 is divisibleby(2), not 1 is odd
(1, 2) == (1, 2), 3 not in l, l == [3, 1, 2]
"%s and %r" % ("a", "b"), "%d%%" % 5, "%5.2f|%-5s|%05d|%x|%X|%o|%e|%g" % (1.234, "a", 42, 255, 255, 8, 12345.678, 0.0001)
"%(a)s-%(b)d" % {"a": 1, "b": 2}, "%s" % none, "%s" % [1], "%c%c" % ("a", 98), "%+d % d" % (1, 2), "%.3s" % "abcdef", "%*d" % (5, 3), "%i" % 3.9, "%.3d" % 7
"%r" % "é", "%a" % "é", "%#x" % 255, "%10.3e" % 1234.5, "%s %s" % (1, missing)
"{} {}".format(1, "a"), "{1} {0}".format(1, 2), "{a} {b!r}".format(a=1, b="x"), "{{}}".format()
"{:>5}|{:<5}|{:^5}|{:*^7}|{:05d}|{:+.2f}|{:,}|{:x}|{:#b}|{:%}|{:e}|{:_}".format(1, 2, 3, 4, 5, 6.789, 1234567, 255, 5, 0.25, 12345.6, 1234567)
"{0[a]} {0[items]} {1.real} {2[0]}".format(d, 5, l), "{:{}}".format("a", 5), "{!s:>4}".format(true)
"{:.3}".format("abcdef"), "{:.3}".format(3.14159), "{:g}".format(1e10), "{:n}".format(12), "{:c}".format(65), "{:G}".format(1e-10), "{:5}".format(true), "{}".format(none)
"{a}".format_map({"a": 1})
"a,b,,c".split(","), "a b  c ".split(), "a,b,c".split(",", 1), "a b c".rsplit(" ", 1), " a  b ".split(none, 1), "".split(), "".split(",")
"a\nb\r\nc\x0bd\u2028e".splitlines(), "a\nb\n".splitlines(true), "aXbXc".partition("X"), "aXbXc".rpartition("X"), "abc".partition("z")
"  x ".strip() ~ "|", "  x ".lstrip() ~ "|", "  x ".rstrip() ~ "|", "xxaxx".strip("x"), "abcba".lstrip("ab"), "abcba".rstrip("ab"), "\u00a0\u2003x\u3000".strip()
s.startswith("Hell"), s.endswith(("x", "d")), s.startswith("ell", 1), s.startswith("Hello", 0, 3), s.find("o"), s.find("o", 5), s.find("zz"), s.rfind("o"), s.index("w"), s.rindex("l")
s.upper(), s.lower(), s.title(), s.capitalize(), s.swapcase(), u.upper(), u.casefold(), "ß".upper(), "ΑΣ ΑΣΑ".lower(), "ǆ ﬁ".title(), "İ".lower()
s.replace("o", "0"), s.replace("o", "0", 1), "aaa".replace("", "-"), "aaa".replace("a", ""), "abc".replace("", "-", 2)
",".join(["a", "b"]), "".join(()), "-".join("abc"), "-".join({"a": 1, "b": 2})
"ab".center(7) ~ "|", "abc".center(6, "*"), "a".ljust(3, ".") ~ "|", "a".rjust(3), "7".zfill(3), "-7".zfill(4), "a\tb".expandtabs(4), "é".center(4, "ü")
"abc".isalpha(), "ab1".isalnum(), "12".isdigit(), "1²".isdigit(), "1²".isdecimal(), " \t".isspace(), "aB".islower(), "AB".isupper(), "Ab Cd".istitle(), "a_1".isidentifier(), "".isalpha(), "½".isnumeric(), "é".isascii()
"prefix-x".removeprefix("prefix-"), "x.py".removesuffix(".py"), "x".removeprefix("y")
"a.b.c".split(".")[-1], "a".upper().lower()
cycler("a", "b").next(), joiner()() ~ joiner("|")()
namespace(a=1).a, namespace({"b": 2}).b, namespace(), namespace(a=[1], b="x")
[1, [2, [3]]] | string, (1, "a") | string, none | string, d | string
strftime_now("%Y-%m-%d"), strftime_now("%d %b %Y"), strftime_now("%B %-d, %A %H:%M:%S %p %j%%%z%Z|%f")
x is defined, messages is defined, tools is none, documents, add_generation_prompt, bos_token, eos_token
3.0 == 3, 9007199254740993 == 9007199254740992.0, 9007199254740993 > 9007199254740992.0, 1e300 > 5
[1, 2, 3] | length, "äö" | length, d | length, range(4) | count, missing | length
"abc" is string and "abc" is not mapping, not "a" is mapping
0 == false, [] is sameas [], none is sameas none, true is sameas true, 1 is sameas true, missing is sameas missing
"a" if "a" is in ["a"], 1 is in [1, 2], 3 is not in [1], 1 is in((1, 2))
"x" is eq "x", 1 is ne 2, 1 is lt 2, 2 is ge 2, 1 is gt 2, 1 is le 1, 1 is equalto 1.0, 3 is greaterthan 2, 3 is lessthan 2
html | e, html | escape | e, html | safe, html | forceescape, (html | safe) + "<", "<" + (html | safe), (html | safe) ~ "<", (html | e)[0:4], "<" | e | upper
("<%s>" | safe) % "<", ("{}" | safe).format("<"), ("," | safe).join(["<", ">" | safe]), ["<" | safe], ("a" | safe) is escaped, "a" is escaped, ("<" | safe) * 2, ("a<b" | safe).split("<")
"a".__class__, [].append, {}.update is defined, d.pop is undefined, "a"["upper"](), [].__len__ is defined
"abc"|first, "abc"|last, []|first is defined, ""|last is defined, d|first, range(3)|last, users|first == users[0]
(1, 2, 3)[1:] , [1,2,3,][0], (1,), {"a": 1,}, namespace(a=1,)
"%s" | format("x"), "%s-%s" | format(1, 2), "%(a)s" | format(a=3)
"é" in u, u.find("世"), u.index("界"), u.rfind("🙂"), u.split("世")[1], u.startswith("世", 7), u.count("ü")
messages | list, messages == [], "" == missing
"a" * 3 ~ "b" * 2, "1" ~ 2 * 3, (2 + 3) ~ "x"
not not true, not (1 == 2), true and not false, 1 < 2 and 2 < 3 or false
users | map(attribute="name") is iterable, users | map(attribute="name") is sequence, range(3) is sequence, "a" is sequence, 1 is iterable, d is sequence, missing is iterable, d.items() is sequence
range is callable, "a".upper is callable, 1 is callable, namespace is callable, missing is callable
1 is number, true is number, "1" is number, 1 is integer, true is integer, 1.0 is float, true is boolean, 1 is boolean, none is none, false is false, 1 is true, d is mapping, namespace() is mapping
"abc" is lower, "ABC" is upper, "aB" is lower, "1" is lower, 1 is upper
"upper" is filter, "nope" is filter, "defined" is test, "nope" is test
x | default("d"), n | default("d"), "" | default("d", true), x | d, false | default("d", boolean=true), (x.y is defined) if x is defined
""
"""

FILTERS = r"""
"  a b  " | trim, "xax" | trim("x"), 5 | trim, none | trim, "\n\t a" | trim
s | upper, s | lower, s | title, s | capitalize, "hello-world (foo) [bar] {baz} <qux> it's" | title, "éa ßb" | title, 12 | upper
s | replace("o", "0"), s | replace("l", "L", 2), s | replace("", "."), 123 | replace(2, "x")
l | join, l | join(", "), users | join("|", attribute="name"), "abc" | join("-"), [] | join("x"), d | join(","), [none, true, 1.5, missing] | join("/"), users | join(d="+", attribute="home.city")
l | sort, l | sort(reverse=true), ["b", "A", "a", "B"] | sort, ["b", "A", "a", "B"] | sort(case_sensitive=true), users | sort(attribute="name") | map(attribute="name") | join(","), users | sort(attribute="age,name", reverse=true) | map(attribute="name") | list, d | sort, "hello" | sort | join
l | first, l | last, l | min, l | max, l | sum, [] | sum, [0.5, 1] | sum, users | sum(attribute="age"), [[1], [2]] | sum(start=[]), ["b", "A"] | min, ["b", "A"] | max(case_sensitive=true), users | max(attribute="age") | attr("name") is defined, users | min(attribute="age") == users[1]
l | reverse | list, "abc" | reverse, "äb🙂" | reverse, (1, 2) | reverse | list, d | reverse | list, range(3) | reverse | list
[1, 2, 1, "a", "A", 1.0] | unique | list, ["a", "A"] | unique(case_sensitive=true) | list, users | unique(attribute="age") | map(attribute="name") | list, users | unique(false, "home.city") | map(attribute="name") | join(",")
[1, 2, 3, 4, 5] | batch(2) | list, [1, 2, 3, 4, 5] | batch(2, 0) | list, [1, 2, 3, 4, 5] | slice(3) | list, [1, 2, 3, 4, 5] | slice(3, "x") | list, [] | batch(2) | list, [1] | slice(2) | list
d | dictsort, {"b": 1, "A": 2} | dictsort, {"b": 1, "A": 2} | dictsort(true), {"b": 1, "A": 2} | dictsort(false, "value"), {"b": 1, "a": 2} | dictsort(reverse=true), {"b": "X", "a": "y"} | dictsort(by="value")
d | items | list, missing | items | list, d | list, "abc" | list, range(3) | list, (1, 2) | list
users | groupby("age"), users | groupby("home.city") | map("first") | list, users | groupby("home.city", case_sensitive=true) | map(attribute="grouper") | list, users | groupby("admin", default=false) | map(attribute="list") | map("length") | list, (users | groupby("age"))[0].grouper
users | map(attribute="name") | list, users | map(attribute="home.city") | list, users | map(attribute="tags") | map("default", "none") | list, users | map(attribute="admin", default="?") | list, ["a", "b"] | map("upper") | list, ["1", "x"] | map("int", default=5) | list, [[2, 1]] | map("sort", reverse=true) | list, [] | map("upper") | list, [" a "] | map("trim") | join, [[1, 2], [3]] | map("join", "-") | list
l | select("odd") | list, l | select | list, l | reject("odd") | list, [0, 1, none, ""] | select | list, [0, 1, none] | reject | list, l | select("gt", 1) | list, l | select("in", [1, 2]) | list, l | select("divisibleby", 2) | list, ["a", 1] | select("string") | list
users | selectattr("admin") | map(attribute="name") | list, users | selectattr("admin", "defined") | list | length, users | rejectattr("admin") | map(attribute="name") | list, users | selectattr("age", "equalto", 31) | list | length, users | selectattr("home.city", "eq", "Ulm") | map(attribute="name") | first, users | rejectattr("age", "lt", 30) | list | length, users | selectattr("name", "in", ["Bob"]) | list | count
"yes" if users | selectattr("nope") else "no"
"42" | int, "42.7" | int, "x" | int, "x" | int(9), 3.9 | int, -3.9 | int, "0x1f" | int(base=16), "ff" | int(0, 16), " 7 " | int, true | int, "1_000" | int, none | int, [] | int(3), "0b11" | int(base=0), "-5" | int, "1e3" | int, "" | int(8), "z" | int(base=36)
"4.5" | float, "x" | float, "x" | float(1.5), 3 | float, " 1e3 " | float, "inf" | float, "-inf" | float, none | float, "1_0.5" | float, "nan" | float
2.5 | round, 3.5 | round, 2.567 | round(2), 2.55 | round(1), 42.55 | round(1, "floor"), 42.41 | round(1, "ceil"), 42 | round, 1234 | round(-2), 1250 | round(-2), 1234.5 | round(-2), -2.5 | round, 0.5 | round, 1e20 | round(2), 5 | round(1, "ceil"), 2.675 | round(2)
-5 | abs, (-5) | abs, -5.5 | abs, (-2.5) | abs, true | abs
"a\nb\n\nc" | indent, "a\nb" | indent(2), "a\nb" | indent(2, true), "a\n\nb" | indent(2, blank=true), "a\nb" | indent("> "), "a\nb" | indent(width=1, first=true), "" | indent, "a\n" | indent
"foo bar baz qux" | truncate(9), "foo bar baz qux" | truncate(9, true), "foo bar baz qux" | truncate(11), "foo bar baz qux" | truncate(11, false, "…", 0), "short" | truncate, "foo bar baz qux" | truncate(length=5, end="", leeway=0)
"one two, three-four ünï" | wordcount, "" | wordcount, "ab" | center(6) ~ "|", 5 | center(3) ~ "|"
"a b&c/d?é" | urlencode, {"a b": "c&d", "e": 1} | urlencode, [("x", "y z"), ("k", "v")] | urlencode, 5 | urlencode
{"class": "x y", "id": none, "n": 5, "q": "\"<"} | xmlattr, {"a": 1} | xmlattr(false), {} | xmlattr
"<p>a &amp; b</p>  <!-- c --> d\n e" | striptags
1 | filesizeformat, 999 | filesizeformat, 13000 | filesizeformat, 1500000 | filesizeformat, 1500000 | filesizeformat(true), 0 | filesizeformat, 1024 | filesizeformat(true)
d | attr("items") is callable, d | attr("a") is defined, s | attr("upper") is callable, users[0] | attr("name") is defined
d | tojson, l | tojson, s | tojson, none | tojson, true | tojson, 1.0 | tojson, 1e16 | tojson, 1e-7 | tojson, u | tojson, (1, 2) | tojson, {} | tojson, [] | tojson, html | tojson
d | tojson(indent=2), [1, [2, {"a": []}], {}] | tojson(indent=4), users | tojson(indent=1), d | tojson(indent=0), d | tojson(indent="--"), [] | tojson(indent=2)
u | tojson(ensure_ascii=true), "é\n\t\"\\/\b\f\r\x01\x7f🙂" | tojson, "é🙂" | tojson(true), {"é": 1} | tojson(ensure_ascii=True)
d | tojson(separators=(",", ":")), {"b": [1, 2], "a": {"y": 1, "x": 2}} | tojson(sort_keys=true), {"b": 1, "a": 2} | tojson(sort_keys=true, indent=2, separators=(" ,", " : ")), {1: "a", none: 2, true: 3, 1.5: 4} | tojson, ("<" | safe) | tojson
[1e400, -1e400] | tojson if false else "skipped"
"a" | string is string, 1 | string ~ 2, [1] | pprint, "x" | pprint
["a", "b"] | map("upper") | join("-") | lower | replace("-", "+")
users | map(attribute="name") | map("lower") | select("in", ["bob", "zoe"]) | sort | join(",")
"abc" | list | join("."), 5 | string | length, l | string | replace(",", ";")
"a-b_c" | replace("-", "_") | upper, "x" | default("y") | upper
[3, 1] | sort | first, [[3, 1], [2]] | map("first") | list, [{"a": {"b": 1}}] | map(attribute="a.b") | first
"1.5" | float + 1, "3" | int * 2, l | length - 1
[("a", 1), ("b", 2)] | map("last") | list, [("a", 1)] | map("join", ":") | list, [(2, "b"), (1, "a")] | sort
"""

# Raw templates, one a line; \n in them is a newline.
LINES = r"""
{% if t %}a{% endif %}{% if n %}b{% else %}c{% endif %}{% if n %}1{% elif t %}2{% else %}3{% endif %}
{% for x in l %}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}
{% for x in l %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.revindex }}/{{ loop.revindex0 }}/{{ loop.first }}/{{ loop.last }}/{{ loop.length }}/{{ loop.depth }}/{{ loop.depth0 }};{% endfor %}
{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}
{% for x in l %}{{ loop.cycle("odd", "even") }} {% endfor %}
{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }} {% endfor %}
{% for x in [1, 2] %}{{ loop }}{% endfor %}
{% for x in [] %}a{% else %}empty{% endfor %}|{% for x in [1] %}a{% else %}empty{% endfor %}
{% for x in [1, 2, 3, 4] if x is even %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% endfor %}
{% for x in [1, 2, 3] if x > 5 %}{{ x }}{% else %}none{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}
{% for a, (b, c) in [(1, (2, 3)), (4, (5, 6))] %}{{ a }}{{ b }}{{ c }} {% endfor %}
{% for a, b in [(1, 2), (3, 4)] if a > 1 %}{{ a }}-{{ b }}{% endfor %}
{% for c in "aü🙂" %}[{{ c }}]{% endfor %}{% for x in range(3) %}{{ x }}{% endfor %}{% for x in missing %}x{% endfor %}
{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}|{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in [1, 2] %}{% continue %}{% else %}else after continue{% endfor %}|{% for x in [1, 2] %}{% break %}{% else %}else after break{% endfor %}
{% for x in [1, 2] %}{% for y in [1, 2, 3] %}{% if y == 2 %}{% break %}{% endif %}{{ x }}{{ y }}{{ loop.index }} {% endfor %}{{ loop.index }};{% endfor %}
{% for n in tree recursive %}{{ n.v }}@{{ loop.depth }}{% if n.c %}({{ loop(n.c) }}){% endif %} {% endfor %}
{% for n in tree recursive %}<{{ n.v }}{{ loop(n.c) if n.c }}>{% else %}leaf{% endfor %}
{% set ns = namespace(k=0) %}{% for x in [1, 2, 3, 4] if ns.k < 2 %}{% set ns.k = ns.k + 1 %}{{ x }}{% endfor %}{{ ns.k }}
{% for u in users | selectattr("admin", "defined") %}{{ u.name }}{{ loop.last }} {% endfor %}
{% for x in l | reverse %}{{ x }}{{ loop.length }}{{ loop.revindex }}{% endfor %}
{% for x in l | map("string") %}{{ loop.nextitem }}{{ loop.length }} {% endfor %}
{% set m = l | map("string") %}{{ m | list }}{{ m | list }}
{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}
{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}{% if n %}{% set y = 2 %}{% endif %}{{ y is defined }}
{% if n %}{% set t = 5 %}{% endif %}{{ t }}{% if t %}{% set i = 5 %}{% elif n %}{% set f = 5 %}{% else %}{% set s = 5 %}{% endif %}{{ i }}{{ f }}{{ s }}
{% for x in [1] %}{% if t %}{% set i = 99 %}{% endif %}{{ i }}{% endfor %}{{ i }}
{% for x in [1, 2] %}{% set y = x %}{{ y }}{% endfor %}{{ y is defined }}{{ x is defined }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set a, b = b, a %}{{ a }}{{ b }}{% set (c, d2) = [5, 6] %}{{ c }}{{ d2 }}{% set e = 1, %}{{ e }}
{% set x %}block {{ i }}{% endset %}[{{ x }}]{% set y | upper %}shout {{ s }}{% endset %}[{{ y }}]{% set z | replace("a", "b") | trim %} banana {% endset %}[{{ z }}]
{% set x %}{% set inner = 5 %}{{ inner }}{% endset %}{{ x }}{{ inner is defined }}
{% for x in [1, 2] %}{% set y %}{% if x == 1 %}{% continue %}{% endif %}text{% endset %}{{ y }}{% endfor %}
{% set ns = namespace(a=1, b="x") %}{% set ns.a = ns.a + 1 %}{% set ns.c = [ns.a] %}{{ ns.a }}{{ ns.c }}{{ ns }}{{ ns.z is defined }}
{% set ns = namespace() %}{% for x in l %}{% set ns.found = x %}{% endfor %}{{ ns.found }}{% set ns.a, ns.b = 1, 2 %}{{ ns.b }}
{% set ns = namespace(n=0) %}{% macro inc() %}{% set ns.n = ns.n + 1 %}{% endmacro %}{{ inc() }}{{ inc() }}{{ ns.n }}
{% set ns = namespace(t="") %}{% set ns.t %}block{{ 1 }}{% endset %}{{ ns.t }}
{% macro m(a, b=2, c="x") %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(a=5, c=6) }} {{ m(1, c="z") }}
{% macro m(a) %}[{{ a }}|{{ varargs }}|{{ kwargs }}]{% endmacro %}{{ m(1, 2, 3, x=4) }}{{ m() }}
{% macro m(a, b=a, c=b) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}{{ m(1, c=3) }}{{ m() }}
{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}{{ m(none) }}{{ m(missing) }}
{% macro outer() %}<{{ caller() }}>{% endmacro %}{% call outer() %}inside {{ i }}{% endcall %}
{% macro list_of(items) %}{% for x in items %}{{ caller(x, loop.index) }}{% endfor %}{% endmacro %}{% call(x, n) list_of(["a", "b"]) %}{{ n }}={{ x }};{% endcall %}
{% macro m() %}{{ caller is defined }}{{ caller }}{% endmacro %}{{ m() }}
{% macro m(caller="none") %}{{ caller }}{% endmacro %}{{ m() }}
{% macro fact(n) %}{{ 1 if n < 2 else n * fact(n - 1) | int }}{% endmacro %}{{ fact(5) }}
{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}b{{ i }}{% endmacro %}{{ a() }}
{% set x = 1 %}{% macro m() %}{{ x }}{% set x = 5 %}{{ x }}{% endmacro %}{{ m() }}{{ x }}
{% macro m() %}{{ y }}{% endmacro %}{% set y = "late" %}{{ m() }}
{% for x in [1, 2] %}{% macro m() %}{{ x }}{{ loop.index }}{% endmacro %}{{ m() }}{% endfor %}
{% macro m(x) %}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}{{ m.catch_varargs }}{{ m.caller }}{% endmacro %}{{ m(1) }}{{ m }}
{% macro m(x) %}{{ x }}{% endmacro %}{% set f = m %}{{ f("y") }}{{ [m][0]("z") }}{% set ns = namespace(g=m) %}{{ ns.g(1) }}{{ {"k": m}.k(2) }}
{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{"a": 1, "b": 2}) }}{{ m(1, *[2]) }}{{ m(*[1], **{"b": 3}) }}
{% macro m(x) -%}   {{ x }}   {%- endmacro %}[{{ m(1) }}]
{% filter upper %}shout {{ s }}{% endfilter %}{% filter replace("a", "b") | trim %} aaa {% endfilter %}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}{% with %}{% set z = 1 %}{{ z }}{% endwith %}{{ z is defined }}
{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}{% with i = i + 1 %}{{ i }}{% endwith %}
{% generation %}gen {{ i }}{% set inner = 1 %}{% endgeneration %}{{ inner is defined }}
{% for x in [1] %}{% generation %}{{ x }}{{ loop.index }}{% endgeneration %}{% endfor %}
{% raw %}{{ not }} {% this %}{% endraw %}|{%- raw -%}  {{ x }}  {%- endraw -%}|
{# comment #}a{#- b -#} c{# multi\nline #}d
{% print 1, "a" %}{% print i %}
{{ 1 }}{{- 2 -}} {{ 3 -}}  4 {{- 5 }}
  {% if t %}  a  {% endif %}  b\n  {% if t %}\n  c\n  {% endif %}\n  d
a\n  {%+ if t %}x{% endif %}\n  {%- if t %} y {% endif -%}\n z
{% if t -%}\n  a\n{%- endif %}\n\n{% if t +%}\nb{% endif %}\nc
{% for x in l %}\n  {{ x }}\n{% endfor %}\nend
{% for x in l -%}\n  {{ x }}\n{%- endfor %}\nend\n
  {{ i }}  \n  {#- c #}\n  {# d #}\ne\n\n
{# a #}\n{# b -#}\n\n  c {%- set q = 1 +%}\n d
x{% if t %}\n\ty{% endif %}\r\nz\r{{ i }}
\t {% if t %}a{% endif %}\t{% if t %}b{% endif %}\n\v{% if t %}c{% endif %}
  {% raw %}  a  {% endraw %}  \n  {% raw %}\nb\n  {% endraw %}\nc
line\n\n
line\n
{{ "{{ nested }}" }}{{ {"a": {"b": 1}}}}{{ [{}, {"x": []}] }}
{% set x = {"a": [1, 2], "b": {"c": "}}"}} %}{{ x.b.c }}{{ x["a"][1] }}
{{ "%}" }}{% if "%}" == "%}" %}ok{% endif %}
{%set x=1%}{{x}}{%if x%}y{%endif%}{{x+1}}{{x|string}}{{x is odd}}
{% set é = 1 %}{{ é }}{% set _x = 2 %}{{ _x }}
{{ messages | length }}{{ tools }}{{ add_generation_prompt }}{{ bos_token }}{{ eos_token }}{{ unk_token is defined }}
{{ d | truncate(5) == d }}{{ missing | truncate(3) }}{{ missing | reverse | list }}
{% for x in l %}{{ loop | length }}{% endfor %}
{% set c = cycler("a", "b", "c") %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.pos }}{{ c.reset() }}{{ c.next() }}
{% set j = joiner("|") %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}
{% set x = "a" if t %}{% set y = "b" if n %}{{ x }}{{ y }}{{ y is defined }}
{% if missing %}a{% elif s.x is defined %}b{% else %}c{% endif %}
{% if x is defined and x %}a{% else %}b{% endif %}{% if not x %}c{% endif %}{{ x or "d" }}
{% if users[0].admin is not defined and users[1].admin is true %}ok{% endif %}
{% for m in users %}{% set name = m.name if m.name is string else "?" %}{{ name }}{% endfor %}
{% set out = [] %}{% for x in l %}{% set out = out + [x] %}{% endfor %}{{ out }}
{% set ns = namespace(out=[]) %}{% for x in l %}{% set ns.out = ns.out + [x * 2] %}{% endfor %}{{ ns.out }}
{% if n %}{{ s | nofilter }}{% endif %}{{ "a" if t else (s | nofilter) }}{% if n %}{{ s is notest }}{% endif %}ok
{{ loop is defined }}{% for x in [1] %}{{ loop is defined }}{% endfor %}
{% for loop_item in l %}{% for x in l %}{% if loop.first %}{{ loop_item }}{% endif %}{% endfor %}{% endfor %}
{% for x in l %}{% set outer = loop %}{% for y in [1] %}{{ outer.index }}.{{ loop.index }} {% endfor %}{% endfor %}
{% set x = 0 %}{% for x in [1, 2] %}{{ x }}{% endfor %}{{ x }}
{% for i in [9] %}{{ i }}{% endfor %}{{ i }}{% macro m(i) %}{{ i }}{% endmacro %}{{ m(3) }}{{ i }}
{% macro m() %}{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}{% endmacro %}{{ m() }}
{{ d.items() | list | length }}{{ d.items() | map("first") | join(",") }}{{ (d | items) | list }}
{{ s[0] | upper ~ s[1:] }}{{ (s | lower)[0] }}{{ s | length > 3 }}
{{ "a" is defined }}{{ (missing.foo is defined) if missing is defined else "safe" }}
{{ [1, 2, 3][1:] | map("string") | join("+") }}={{ [2, 3] | sum }}
{% set msgs = users[1:] %}{% for m in msgs %}{{ m.name }}{{ loop.length }}{% endfor %}{{ msgs | length }}{{ users[:-1] | length }}
{{- "x" -}}\n\n{{- "y" }}\n
{{ dict(users[0], age=5).age }}{{ dict(**{"a": 1}) }}{{ dict(a=1) | tojson }}
{{ range(5) | select("odd") | list }}{{ range(0, 10, 3) | list }}{{ range(3, 0, -1) | list }}{{ range(0) | list }}
"""

# Templates that fail: to parse, and to render.
ERRORS = r"""
{% if %}x{% endif %}
{% if t %}x
{% for x in %}{% endfor %}
{% for %}{% endfor %}
{% endfor %}
{% if t %}{% endfor %}
{% for x in l %}{% endif %}
{% unknown %}
{% else %}
{{ }}
{{ 1 + }}
{{ (1, 2 }}
{{ [1, 2 }}
{{ a b }}
{{ "open }}
{{ 'a' ! }}
{{ 1 ? 2 }}
{{ ) }}
{{ (] }}
{{ a.'b' }}
{{ a. }}
{{ a[ }}
{{ a | }}
{{ a | 5 }}
{{ a is }}
{{ a is not }}
{{ 1 is odd is even }}
{{ f(a=1, 2) }}
{{ f(**a, b=1) }}
{{ f(*a, *b) }}
{% set 1 = 2 %}
{% set "a" = 2 %}
{% set [a, b] = l %}
{% set true = 1 %}
{% set a.b.c = 1 %}
{% set %}
{% set x = %}
{% macro m(a=1, b) %}{% endmacro %}
{% macro m(true) %}{% endmacro %}
{% macro %}{% endmacro %}
{% call 5 %}{% endcall %}
{# open
{% raw %} open
{{ x | nofilter }}
{{ x is notest }}
{% for x in l %}{{ x | nofilter }}{% endfor %}
{% if t %}{% for x in l %}{{ x | nofilter }}{% endfor %}{% endif %}
{% break %}
{% continue %}
{% for x in l %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}
{% for loop in l %}{% endfor %}
{% for x in l %}{% set loop = 1 %}{% endfor %}
{{ "\x4" }}
{{ "\u12" }}
{{ "\U0011FFFF" }}
{% if t %}\n\n{{ 1 + }}\n{% endif %}
line one\nline two {{ "a" ~ }}
{% filter %}{% endfilter %}
{% with a %}{% endwith %}
{% macro m(caller) %}{{ caller() }}{% endmacro %}
{{ missing.foo }}
{{ missing["foo"] }}
{{ d.nope.x }}
{{ d["nope"].x }}
{{ l[9].x }}
{{ n.x.y }}
{{ s.nope() }}
{{ n.upper() }}
{{ missing() }}
{{ d.nope() }}
{{ missing + 1 }}
{{ 1 + missing }}
{{ "a" + missing }}
{{ missing < 1 }}
{{ 1 < missing }}
{{ -missing }}
{{ missing * 2 }}
{{ missing | int }}
{{ ([] | first) + 1 }}
{{ ([] | max).x }}
{{ ("a" if n) + "b" }}
{{ l.append(4) }}
{{ d.update({"a": 2}) }}
{{ d.pop("a") }}
{{ l.sort() }}
{{ s.__class__.__mro__ }}
{{ "" .__class__() }}
{{ namespace(_x=1) }}
{% set ns = namespace() %}{% set ns._x = 1 %}
{% set ns = namespace(a=1) %}{{ ns.b.c }}
{% set d.x = 1 %}
{% set missing.x = 1 %}
{{ raise_exception("my own message") }}
{{ raise_exception("with " ~ i) }}
{% if t %}\n{{ raise_exception("on line two") }}{% endif %}
{{ "a" + 1 }}
{{ 1 + "a" }}
{{ [1] + (2,) }}
{{ [1] + 2 }}
{{ (1,) + "a" }}
{{ "a" - "b" }}
{{ "a" * "b" }}
{{ {} + {} }}
{{ none + 1 }}
{{ -"a" }}
{{ +none }}
{{ 1 / 0 }}
{{ 1 // 0 }}
{{ 1 % 0 }}
{{ 1.0 / 0 }}
{{ 1.0 // 0 }}
{{ 1.0 % 0 }}
{{ 0 ** -1 }}
{{ 1 < "a" }}
{{ [] > 1 }}
{{ none >= none }}
{{ {} < {} }}
{{ 1 in 2 }}
{{ 1 in "a" }}
{{ "a" in none }}
{{ [] in {} }}
{{ {[]: 1} }}
{{ d.get([]) }}
{{ 1[0].x }}
{{ i[1:2] }}
{{ "a" is defined if t else "x" }}
{{ users | map(attribute="tags.0") | list }}
{{ missing | abs }}
{{ missing | round }}
{{ (1, 2) | indent }}
{{ {} | indent }}
{{ range(300) | truncate }}
{{ ("a" | safe) + 1 }}
{{ ("a" | safe) * "b" }}
{{ [1] | urlencode }}
{% macro m(a,\n b=d.nope.x) %}\n{{ b }}{% endmacro %}\n\n{{ m(1) }}
{{ d[1:2] }}
{{ l["a":] }}
{{ l[::0] }}
{{ 5() }}
{{ "a"() }}
{% for x in 5 %}{% endfor %}
{% for x in n %}{{ loop.index }}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% for a, b in [[1]] %}{% endfor %}
{% for a, b in [[1, 2, 3]] %}{% endfor %}
{% set a, b = 1 %}
{% set a, b = [1, 2, 3] %}
{% for x in l %}{{ loop(l) }}{% endfor %}
{% for x in l %}{{ loop.cycle() }}{% endfor %}
{{ 5 | length }}
{{ n | length }}
{{ (l | map("string")) | length }}
{{ 5 | list }}
{{ 5 | join }}
{{ 5 | first }}
{{ n | last }}
{{ (l | map("string")) | last }}
{{ 5 | sort }}
{{ [1, "a"] | sort }}
{{ [1, "a"] | max }}
{{ ["a"] | sum }}
{{ 5 | sum }}
{{ n | items | list }}
{{ 5 | dictsort }}
{{ d | dictsort(by="nope") }}
{{ "a" | abs }}
{{ "a" | round }}
{{ 1.5 | round(1, "nope") }}
{{ n | reverse }}
{{ 5 | indent }}
{{ n | indent }}
{{ "abc" | truncate(1) }}
{{ s | replace("a") }}
{{ s | replace }}
{{ s | trim("a", "b") }}
{{ s | upper(1) }}
{{ s | join(nope=1) }}
{{ s | join("a", d="b") }}
{{ s | default("a", true, 1) }}
{{ l | map("nofilter") | list }}
{{ l | map | list }}
{{ l | map(nope) | list }}
{{ l | map(attribute="x", foo=1) | list }}
{{ l | select("notest") | list }}
{{ l | selectattr | list }}
{{ l | select("gt") | list }}
{{ l | batch }}
{{ missing | tojson }}
{{ [missing] | tojson }}
{{ (l | map("string")) | tojson }}
{{ namespace() | tojson }}
{{ {(1, 2): 3} | tojson }}
{{ d.items() | tojson }}
{{ range(3) | tojson }}
{{ {"a": 1, 1: 2} | tojson(sort_keys=true) }}
{{ {"a b": 1} | xmlattr }}
{{ "%d" % "a" }}
{{ "%d" % none }}
{{ "%f" % "a" }}
{{ "%x" % 1.5 }}
{{ "%s %s" % (1,) }}
{{ "%s" % (1, 2) }}
{{ "a" % 1 }}
{{ "%(a)s" % 5 }}
{{ "%y" % 5 }}
{{ "%" % 5 }}
{{ "%s" | format(1, a=2) }}
{{ "{}".format() }}
{{ "{0} {}".format(1, 2) }}
{{ "{a}".format() }}
{{ "{".format() }}
{{ "}".format() }}
{{ "{!z}".format(1) }}
{{ "{:d}".format("a") }}
{{ "{:q}".format(1) }}
{{ "{:s}".format(1) }}
{{ "{:.2d}".format(1) }}
{{ "{:=5}".format("a") }}
{{ "{:d}".format(1.5) }}
{{ "{:5}".format([]) }}
{{ s.split("") }}
{{ s.split(1) }}
{{ s.strip(1) }}
{{ s.index("zz") }}
{{ s.startswith(1) }}
{{ s.join(5) }}
{{ s.join([1]) }}
{{ s.replace("a") }}
{{ s.replace("a", 1) }}
{{ s.center(5, "ab") }}
{{ l.index(9) }}
{{ (1,).index(9) }}
{{ range("a") }}
{{ range() }}
{{ range(1, 2, 3, 4) }}
{{ range(1, 2, 0) }}
{{ range(100001) }}
{{ range(1.5) }}
{{ dict(5) }}
{{ dict([1]) }}
{{ dict(["abc"]) }}
{{ cycler() }}
{{ raise_exception() }}
{{ strftime_now(5) }}
{{ strftime_now() }}
{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{% endmacro %}{{ m(b=2) }}
{% macro m() %}{% endmacro %}{% call m() %}{% endcall %}
{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}
{% macro m(a) %}{{ a.b }}{% endmacro %}{{ m() }}
{% macro m(a) %}{{ a + 1 }}{% endmacro %}\n{{ m("x") }}
{{ d(*5) }}
{{ dict(**5) }}
{{ dict(**{1: 2}) }}
{{ dict(a=1, **{"a": 2}) }}
{% for x in l %}\n{{ x }}\n{{ x.y.z }}\n{% endfor %}
{% set x %}\n{{ n.a.b }}{% endset %}
{% if s.nope.x %}{% endif %}
{% if n %}a{% elif\n d.nope.x %}b{% endif %}
{{ 1 is divisibleby 0 }}
{{ "a" is odd }}
{{ 1 is gt "a" }}
{{ 1 is in 5 }}
{{ missing is odd }}
{{ 1 is divisibleby }}
{{ 1 is odd(2) }}
{{ [{}, 1] | sort(attribute="x") }}
{{ (users + [{}]) | sort(attribute="age") }}
{{ users | groupby("tags") }}
{{ 5 | filesizeformat(1, 2) }}
{{ "a" | center("b") }}
{{ d.items().x.y }}
{{ range.x.y }}
{{ (l | map("string")).x.y }}
{{ namespace.x.y }}
{{ true.x.y }}
{{ 1.5.x.y }}
{{ (1, 2).x.y }}
{{ (s | safe).x.y }}
{% macro m() %}{% endmacro %}{{ m.x.y }}
{% for x in l %}{{ loop.nope.x }}{% endfor %}
{{ cycler(1).x.y }}
{{ {}["a"]["b"] }}
{{ {}[(1, "a")].b }}
"""

BLOCKS = [
    """
{%- macro show(value, indent=0) -%}
  {%- if value is mapping -%}
    {{- "{" }}
    {%- for key, item in value | dictsort %}
{{ "  " * (indent + 1) }}{{ key }}: {{ show(item, indent + 1) }}
    {%- endfor %}
{{ "  " * indent }}}
  {%- elif value is string -%}
    "{{ value }}"
  {%- elif value is iterable -%}
    [{% for item in value %}{{ show(item, indent + 1) }}{{ ", " if not loop.last }}{% endfor %}]
  {%- else -%}
    {{ value }}
  {%- endif -%}
{%- endmacro -%}
{{ show(users[0]) }}
{{ show(d) }}
""",
    """
{% set role_names = {"user": "User", "assistant": "Bot"} %}
{% for message in messages %}
    {% if message.role == "system" and loop.first %}
[{{ message.content | trim }}]
    {% elif message.role in role_names %}
{{ role_names[message.role] }}: {{ message["content"] }}{{ eos_token if message.role != "user" }}
    {% else %}
        {{ raise_exception("Unknown role: " + message.role) }}
    {% endif %}
{% endfor %}
{% if add_generation_prompt %}
Bot:{# end #}
{% endif %}
""",
]

CHAT = {
    "messages": [
        {"role": "system", "content": " Be kind. "},
        {"role": "user", "content": "Hi\nthere"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye"},
    ],
    "add_generation_prompt": True,
}


def lines(text):
    return [line for line in text.strip("\n").split("\n") if line]


def cases():
    """(template, request) pairs; an empty request has no messages and no variables."""
    data = {"arguments": DATA}
    for line in lines(EXPRESSIONS) + lines(FILTERS):
        yield "{{ (" + line + ",) }}" if "," in line else "{{ " + line + " }}", data
    for line in lines(LINES) + lines(ERRORS):
        yield line.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t").replace(
            "\\v", "\v"), data
    for block in BLOCKS:
        yield block, {**data, **CHAT}
        yield block, {**data, "messages": [{"role": "narrator", "content": "x"}]}
    yield "{{ x }}", {"arguments": {"x": {"nested": [1, {"deep": [None, True, 1.5, "é"]}]}}}
    yield "{{ bos_token }}{{ messages[0].content }}", CHAT
    yield "", {}
    yield "plain", {}
