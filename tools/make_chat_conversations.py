"""The conversations that tools/make_chat_golden.py renders with every chat template."""

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Gives the weather of a city.\nIn two lines.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "The city, \"quoted\" <b>"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": "integer", "minimum": 1, "maximum": 14},
            },
            "required": ["city"],
        },
    },
}
ORDER = {
    "type": "function",
    "function": {
        "name": "place_order",
        "description": "Orders things – with ümlauts & 中文.",
        "parameters": {
            "type": "object",
            "properties": {
                "items": {
                    "type": "array",
                    "description": "What to order",
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string"},
                            "amount": {"type": ["integer", "null"]},
                            "price": {"type": "number", "nullable": True},
                        },
                        "required": ["name", "amount"],
                    },
                },
                "address": {
                    "type": "object",
                    "description": "Where to",
                    "properties": {"street": {"type": "string"}, "zip": {"type": "string"}},
                    "additionalProperties": False,
                },
                "express": {"type": "boolean", "default": False},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
            "required": ["items", "address"],
        },
        "return": {"type": "object", "description": "The order"},
    },
    "strict": True,
}
PING = {
    "type": "function",
    "function": {
        "name": "ping",
        "description": "Answers",
        "parameters": {"type": "object", "properties": {}},
    },
}


def message(role, content, **more):
    return {"role": role, "content": content, **more}


def user(content, **more):
    return message("user", content, **more)


def assistant(content, **more):
    return message("assistant", content, **more)


def call(name, arguments, identity="call_001"):
    return {
        "id": identity,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


SYSTEM = message("system", "You are a helpful assistant.")

CHATS = {
    "one": [user("Hello")],
    "one with system": [SYSTEM, user("Hello")],
    "spaces": [message("system", "  Be brief.\n"), user("  Hi there \n\n")],
    "two": [SYSTEM, user("1+1?"), assistant("2"), user("And 2+2?")],
    "ends with assistant": [user("Finish: a, b,"), assistant("c, d")],
    "three turns": [
        user("a"), assistant("b"), user("c"), assistant("d"), user("e"), assistant("f"),
    ],
    "six": [
        SYSTEM, user("one"), assistant("eins"), user("two"), assistant("zwei"), user("three"),
        assistant("drei"), user("four"), assistant("vier"), user("five"), assistant("fünf"),
        user("six"),
    ],
    "unicode": [
        message("system", "Sprich Deutsch – äöüß €"),
        user("日本語 и русский, emoji 🙂👩‍👩‍👧, tab\there, nul-free \u0007 bell"),
        assistant("“Quotes” & <tags> 'single' \"double\" \\ back"),
        user("\u00a0nbsp\u2028line"),
    ],
    "parts": [
        message("system", [{"type": "text", "text": "System in parts."}]),
        user([{"type": "text", "text": "First part."}, {"type": "text", "text": " Second."}]),
        assistant([{"type": "text", "text": "Answer in parts."}]),
        user([{"type": "text", "text": "More?"}]),
    ],
    "image": [
        user([{"type": "image"}, {"type": "text", "text": "What is this?"}]),
        assistant("A cat."),
        user([{"type": "text", "text": "And this?"},
              {"type": "image_url", "image_url": {"url": "http://x/y.png"}}]),
    ],
    "thinking in text": [
        user("Think"), assistant("<think>\nhm, hm\n</think>\n\nDone."), user("Again"),
    ],
    "reasoning": [
        user("Think"), assistant("Done.", reasoning_content="I think so."), user("Again"),
        assistant("Done again.", reasoning_content="Still so."),
    ],
    "thinking field": [user("Think"), assistant("Yes.", thinking="Deep."), user("Why?")],
    "tool call": [
        SYSTEM, user("Weather in Bern?"),
        assistant("", tool_calls=[call("get_weather", {"city": "Bern", "days": 3})]),
        message("tool", "{\"sky\": \"blue\"}", name="get_weather", tool_call_id="call_001"),
        assistant("It is sunny."), user("Thanks"),
    ],
    "tool call, no content": [
        user("Weather in Bern?"),
        assistant(None, tool_calls=[call("get_weather", {"city": "Bern"}, "abcdef123")]),
        message("tool", "sunny", tool_call_id="abcdef123"),
    ],
    "tool call, arguments as text": [
        user("Weather in Bern?"),
        assistant("Let me look.", tool_calls=[call("get_weather", "{\"city\": \"Bern\"}")]),
        message("tool", "sunny", name="get_weather", tool_call_id="call_001"),
    ],
    "two tool calls": [
        SYSTEM, user("Order and look"),
        assistant(
            "Both.", reasoning_content="Two calls.",
            tool_calls=[
                call("place_order", {"items": [{"name": "Käse", "amount": 2, "price": 1.5}],
                                     "address": {"street": "A <b> & c", "zip": "3000"},
                                     "express": True, "note": None}, "call_a01"),
                call("get_weather", {"city": "Zürich", "unit": "celsius"}, "call_b02"),
            ],
        ),
        message("tool", "{\"order\": 7}", name="place_order", tool_call_id="call_a01"),
        message("tool", {"sky": ["blue", 1, 2.5, True, None]}, name="get_weather",
                tool_call_id="call_b02"),
        assistant("Ordered, and it is fine."),
        user("Great, cancel it"),
    ],
    "tool result in parts": [
        user("Ping"),
        assistant("", tool_calls=[call("ping", {}, "123456789")]),
        message("tool", [{"type": "text", "text": "pong"}], name="ping", tool_call_id="123456789"),
        assistant("It answers."),
    ],
    "flat tool call": [
        user("Ping"),
        assistant("", tool_calls=[{"name": "ping", "arguments": {}}]),
        message("tool", "pong", name="ping"),
    ],
    "system late": [user("Hi"), message("system", "Be nice."), user("Hi again")],
    "developer": [message("developer", "Rules."), user("Hi")],
    "two users": [user("a"), user("b")],
    "strange role": [user("a"), message("narrator", "Meanwhile")],
    "empty": [],
    "empty content": [user(""), assistant(""), user("x")],
    "no content": [user("a"), {"role": "assistant"}, user("b")],
}

DOCUMENTS = [
    {"title": "On bees", "text": "Bees fly.", "doc_id": 1},
    {"title": "On «ants»", "text": "Ants walk.\nMuch.", "doc_id": 2},
]


def requests():
    for chat in CHATS.values():
        for prompt in (True, False):
            yield {"messages": chat, "add_generation_prompt": prompt}
    for name in ("one", "one with system", "two", "parts", "tool call", "two tool calls",
                 "tool call, arguments as text", "tool result in parts", "reasoning"):
        for tools in ([WEATHER], [WEATHER, ORDER, PING]):
            yield {"messages": CHATS[name], "tools": tools, "add_generation_prompt": True}
    yield {"messages": CHATS["one"], "tools": [], "add_generation_prompt": True}
    yield {"messages": CHATS["one"], "tools": [WEATHER["function"]], "add_generation_prompt": True}
    for name in ("one with system", "two"):
        yield {"messages": CHATS[name], "documents": DOCUMENTS, "add_generation_prompt": True}
    for arguments in (
        {"enable_thinking": True}, {"enable_thinking": False}, {"thinking": True},
        {"thinking": False}, {"date_string": "26 Jul 2024"}, {"reasoning_effort": "high"},
        {"builtin_tools": ["wolfram_alpha", "code_interpreter"]}, {"tools_in_user_message": False},
        {"controls": {"length": "long"}}, {"keep_past_thinking": True, "preserve_thinking": True},
        {"model_identity": "You are Test.", "builtin_tools": ["browser", "python"]},
        {"custom_instructions": "Be odd.", "xml_tools": ["a"], "python_tools": ["b"]},
        {"citation_mode": "fast", "citations": "fast", "safety_mode": "none"},
    ):
        for name in ("one with system", "reasoning", "tool call"):
            tools = [WEATHER] if name == "tool call" else None
            yield {"messages": CHATS[name], "tools": tools, "arguments": arguments,
                   "add_generation_prompt": True}
