#!/usr/bin/env python3
"""Makes the expected output of chat templates with jinja2, an independent implementation.

    python3 tools/make_chat_golden.py snippets tests/golden/text/jinja.json
    python3 tools/make_chat_golden.py templates FOLDER OUT.jsonl

`snippets` renders the small templates of tools/make_chat_snippets.py, which together use every feature.
`templates` renders every *.jinja file of a folder with many conversations. Each case holds the
template (or the name of its file), the request, and the text or the error that comes out. Needs
jinja2 3.1.6; the environment is the one that transformers makes for chat templates.
"""

import datetime
import json
import os
import sys
import time

import jinja2
import jinja2.ext
import jinja2.sandbox

import make_chat_conversations as chat_conversations
import make_chat_snippets as chat_snippets

NOW = 1722470400  # 2024-08-01 00:00:00 UTC
BOS, EOS = "<s>", "</s>"


class Generation(jinja2.ext.Extension):
    """The generation tag, without the tracking of positions that training wants."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


class DictFunction:
    def __call__(self, *args, **kwargs):
        return dict(*args, **kwargs)

    def fromkeys(self, *args, **kwargs):
        return dict.fromkeys(*args, **kwargs)


def check_name(name):
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(
            "Chat templates cannot store underscore-prefixed attributes on a namespace, but got "
            f"{name!r}. Please rename the attribute."
        )


class TemplateNamespace(jinja2.utils.Namespace):
    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attributes = dict(*args, **kwargs)
        for name in attributes:
            check_name(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name, value):
        check_name(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)


TemplateNamespace.__module__ = "transformers.utils.chat_template_utils"  # shown in messages


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def strftime_now(format):
    return datetime.datetime.fromtimestamp(NOW).strftime(format)


for function in (raise_exception, tojson, strftime_now):
    function.__qualname__ = f"_cached_compile_jinja_template.<locals>.{function.__name__}"


def make_environment():
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = strftime_now
    environment.globals["dict"] = DictFunction()
    environment.globals["namespace"] = TemplateNamespace
    return environment


def alias_reasoning(messages):
    """Reasoning under each of its names, as transformers passes it."""
    if not isinstance(messages, list):
        return messages
    result = []
    for message in messages:
        if isinstance(message, dict):
            names = ("reasoning_content", "thinking", "reasoning")
            values = [message[name] for name in names if message.get(name) is not None]
            if values:
                message = {"thinking": values[0], **message, "reasoning_content": values[0]}
        result.append(message)
    return result


def template_line(error):
    """The line of the template that raised, which jinja2 puts into the traceback."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def render(template, request):
    """{"text": ...} or {"error": kind, "message": ..., "line": ...}."""
    variables = {"bos_token": BOS, "eos_token": EOS}
    variables.update(request.get("arguments", {}))
    try:
        text = template.render(
            messages=alias_reasoning(request.get("messages", [])),
            tools=request.get("tools"),
            documents=request.get("documents"),
            add_generation_prompt=request.get("add_generation_prompt", False),
            **variables,
        )
        return {"text": text}
    except Exception as error:  # any of them is an outcome to compare with
        message = error.args[0] if type(error) is KeyError else str(error)
        if type(error) is KeyError:
            message = repr(message)
        return {"error": type(error).__name__, "message": message, "line": template_line(error)}


def compile_template(environment, source):
    """(template, None) or (None, outcome)."""
    try:
        return environment.from_string(source), None
    except jinja2.TemplateSyntaxError as error:
        return None, {
            "error": type(error).__name__, "message": error.message, "line": error.lineno,
        }
    except SyntaxError as error:  # of the Python code that jinja2 makes
        return None, {"error": "SyntaxError", "message": error.msg, "line": 0}


def outcome(environment, source, request):
    template, failed = compile_template(environment, source)
    return failed or render(template, request)


def write_snippets(path):
    environment = make_environment()
    cases, seen = [], set()
    usual = {"arguments": chat_snippets.DATA}
    for source, request in chat_snippets.cases():
        result = outcome(environment, source, request)
        if " object at 0x" in result.get("text", ""):
            raise SystemExit(f"prints an address: {source!r}")
        key = json.dumps([source, request])
        if key in seen:
            raise SystemExit(f"twice: {source!r}")
        seen.add(key)
        own = {} if request == usual else {"request": request}
        cases.append({"template": source, **own, **result})
    with open(path, "w") as out:
        lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
        request = json.dumps(usual, ensure_ascii=False)
        out.write(f'{{"request": {request},\n"cases": [\n{lines}\n]}}\n')
    print(f"{len(cases)} snippets, {sum('error' in case for case in cases)} of them errors")


def write_templates(folder, path):
    environment = make_environment()
    count = errors = 0
    with open(path, "w") as out:
        requests = list(chat_conversations.requests())
        for request in requests:
            out.write(json.dumps({"request": request}, ensure_ascii=False) + "\n")
        for name in sorted(os.listdir(folder)):
            if not name.endswith(".jinja"):
                continue
            with open(os.path.join(folder, name), newline="") as file:
                template, failed = compile_template(environment, file.read())
            for index, request in enumerate(requests):
                result = failed or render(template, request)
                count += 1
                errors += "error" in result
                case = {"file": name, "index": index, **result}
                out.write(json.dumps(case, ensure_ascii=False) + "\n")
    print(f"{count} renderings, {errors} of them errors")


def main():
    os.environ["TZ"] = "UTC"
    time.tzset()
    if sys.argv[1] == "snippets":
        write_snippets(sys.argv[2])
    else:
        write_templates(sys.argv[2], sys.argv[3])


if __name__ == "__main__":
    main()
