"""The official `openai` and `anthropic` packages, unchanged, each against the other's dialect.

The gateway's plugin `anthropic` stands between them and `standin.py`, which speaks both
and takes no request that the real server would not take.
"""

import base64
import json
import os
import urllib.request

import anthropic
import openai
import pytest

URL = os.environ["DIALECTS_URL"]
STANDIN = os.environ["STANDIN_URL"]
KEY = "key-of-ada"
TEXT = "The Rhône, the Ebro and the Minho — three rivers. 🌊"
WEATHER = {"city": 'Köln "am Rhein"', "days": 3}
TIME = {"zone": "Europe/Berlin"}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ZONE = {"type": "object", "properties": {"zone": {"type": "string"}}}
# One pixel.
PNG = base64.b64encode(bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)).decode()  # fmt: skip


def seen():
    """The last request that the stand-in took."""
    return json.load(urllib.request.urlopen(f"{STANDIN}/seen", timeout=10))


# An OpenAI client of an Anthropic server.


@pytest.fixture
def chat():
    with openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0, timeout=20) as client:
        yield lambda text, **rest: client.chat.completions.create(
            model="claude", messages=[{"role": "user", "content": text}] if isinstance(text, str) else text, **rest
        )


FUNCTIONS = [
    {"type": "function", "function": {"name": "get_weather", "description": "The weather.", "parameters": CITY}},
    {"type": "function", "function": {"name": "get_time", "parameters": ZONE}},
]


def calls_of(message):
    return [(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls]


def test_a_chat_is_answered_by_an_anthropic_server(chat):
    answer = chat([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Rivers?"}], stop=["END"])
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", TEXT, "stop")
    assert (answer.object, answer.model) == ("chat.completion", "claude-standin")
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (20, 34, 54)
    assert usage.prompt_tokens_details.cached_tokens == 8
    asked = seen()
    assert asked["path"] == "/v1/messages"
    assert asked["body"]["max_tokens"] == 512
    assert asked["body"]["stop_sequences"] == ["END"]
    assert "Be brief." in json.dumps(asked["body"]["system"])


def test_a_chat_is_streamed_from_an_anthropic_server_in_pieces_and_whole(chat):
    chunks = list(chat("Rivers?", stream=True, stream_options={"include_usage": True}))
    told = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert "".join(told) == TEXT
    assert len(told) > 3
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    (usage,) = [chunk.usage for chunk in chunks if chunk.usage]
    assert (usage.prompt_tokens, usage.completion_tokens) == (20, 34)


def test_tools_are_called_and_answered_across(chat):
    message = chat("tools", tools=FUNCTIONS, tool_choice="required").choices[0].message
    assert calls_of(message) == [("call_1", "get_weather", WEATHER), ("call_2", "get_time", TIME)]
    assert message.content == "Let me see."
    asked = seen()["body"]
    assert [tool["name"] for tool in asked["tools"]] == ["get_weather", "get_time"]
    assert asked["tools"][0]["input_schema"] == CITY
    assert asked["tool_choice"] == {"type": "any"}
    answers = [{"role": "tool", "tool_call_id": f"call_{at}", "content": f"answer {at}"} for at in (1, 2)]
    question = {"role": "user", "content": "tools"}
    answer = chat([question, message.model_dump(exclude_none=True), *answers], tools=FUNCTIONS)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content.startswith("Told: ")
    assert "answer 1" in answer.choices[0].message.content
    assert "answer 2" in answer.choices[0].message.content


def test_streamed_tool_calls_of_an_anthropic_server_come_together(chat):
    found, reasons, fragments = {}, [], 0
    for chunk in chat("tools", tools=FUNCTIONS, stream=True):
        for choice in chunk.choices:
            reasons.append(choice.finish_reason)
            for call in choice.delta.tool_calls or []:
                entry = found.setdefault(call.index, {"id": None, "name": None, "arguments": ""})
                entry["id"] = call.id or entry["id"]
                entry["name"] = call.function.name or entry["name"]
                entry["arguments"] += call.function.arguments or ""
                fragments += 1
    assert [found[at]["id"] for at in (0, 1)] == ["call_1", "call_2"]
    assert [found[at]["name"] for at in (0, 1)] == ["get_weather", "get_time"]
    assert [json.loads(found[at]["arguments"]) for at in (0, 1)] == [WEATHER, TIME]
    assert fragments > 6, "the arguments came in one piece"
    assert reasons[-1] == "tool_calls"


def test_the_packages_own_accumulator_takes_the_stream():
    with openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0, timeout=20) as client:
        question = [{"role": "user", "content": "tools"}]
        with client.chat.completions.stream(model="claude", messages=question, tools=FUNCTIONS) as stream:
            final = stream.get_final_completion()
    assert calls_of(final.choices[0].message) == [("call_1", "get_weather", WEATHER), ("call_2", "get_time", TIME)]


def test_an_image_crosses(chat):
    url = f"data:image/png;base64,{PNG}"
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    assert chat([{"role": "user", "content": parts}]).choices[0].message.content == TEXT
    (message,) = seen()["body"]["messages"]
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    assert {"type": "image", "source": source} in message["content"]


@pytest.mark.parametrize(
    "status, error, told",
    [
        (429, openai.RateLimitError, 429),
        (529, openai.InternalServerError, 503),
        (500, openai.InternalServerError, 500),
        (401, openai.AuthenticationError, 401),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_of_an_anthropic_server_are_those_that_openai_clients_know(chat, status, error, told, stream):
    with pytest.raises(error) as caught:
        chat(f"fail {status}", stream=stream)
    assert caught.value.status_code == told
    assert f"failed with {status}" in caught.value.message


def test_the_clients_key_is_the_one_that_the_anthropic_server_checks():
    with openai.OpenAI(base_url=f"{URL}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(model="claude", messages=[{"role": "user", "content": "Hi"}])


def test_a_stream_that_breaks_at_an_anthropic_server_never_looks_complete(chat):
    reasons = []
    with pytest.raises(openai.APIError):
        for chunk in chat("break", stream=True):
            reasons += [choice.finish_reason for choice in chunk.choices]
    assert reasons, "nothing came before it broke"
    assert not any(reasons)


# An Anthropic client of an OpenAI server.


@pytest.fixture
def claude():
    with anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=20) as client:
        yield client


def turn(content):
    return {"model": "gpt", "max_tokens": 256, "messages": [{"role": "user", "content": content}]}


TOOLS = [
    {"name": "get_weather", "description": "The weather.", "input_schema": CITY},
    {"name": "get_time", "input_schema": ZONE},
]


def uses_of(message):
    return [(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"]


def test_a_message_is_answered_by_an_openai_server(claude):
    answer = claude.messages.create(**turn("Rivers?"), system="Be brief.", stop_sequences=["END"])
    (block,) = answer.content
    assert (block.type, block.text, answer.stop_reason) == ("text", TEXT, "end_turn")
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", "gpt-standin")
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (12, 8, 34)
    asked = seen()
    assert asked["path"] == "/v1/chat/completions"
    assert asked["body"]["max_completion_tokens"] == 256
    assert asked["body"]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert asked["body"]["stop"] == ["END"]


def test_a_message_is_streamed_from_an_openai_server_in_pieces_and_whole(claude):
    with claude.messages.stream(**turn("Rivers?")) as stream:
        told = list(stream.text_stream)
        message = stream.get_final_message()
    assert "".join(told) == TEXT
    assert len(told) > 3
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (12, 34)
    assert seen()["body"]["stream_options"] == {"include_usage": True}


def test_the_events_of_a_stream_are_in_anthropics_order(claude):
    events = list(claude.messages.create(**turn("tools"), tools=TOOLS, stream=True))
    kinds = [event.type for event in events if event.type != "ping"]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])
    started = [event.index for event in events if event.type == "content_block_start"]
    stopped = [event.index for event in events if event.type == "content_block_stop"]
    assert started == stopped == [0, 1, 2]


def test_tools_are_used_and_answered_across(claude):
    message = claude.messages.create(**turn("tools"), tools=TOOLS, tool_choice={"type": "any"})
    assert uses_of(message) == [("call_1", "get_weather", WEATHER), ("call_2", "get_time", TIME)]
    assert message.stop_reason == "tool_use"
    assert message.content[0].text == "Let me see."
    asked = seen()["body"]
    assert asked["tool_choice"] == "required"
    assert asked["tools"][0]["function"]["parameters"] == CITY
    results = [{"type": "tool_result", "tool_use_id": f"call_{at}", "content": f"answer {at}"} for at in (1, 2)]
    turns = [
        {"role": "user", "content": "tools"},
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": results},
    ]
    answer = claude.messages.create(model="gpt", max_tokens=256, messages=turns, tools=TOOLS)
    assert answer.stop_reason == "end_turn"
    assert "answer 1" in answer.content[0].text
    assert "answer 2" in answer.content[0].text


def test_streamed_tool_calls_of_an_openai_server_come_together(claude):
    with claude.messages.stream(**turn("tools"), tools=TOOLS) as stream:
        fragments = sum(event.type == "input_json" for event in stream)
        message = stream.get_final_message()
    assert uses_of(message) == [("call_1", "get_weather", WEATHER), ("call_2", "get_time", TIME)]
    assert message.content[0].text == "Let me see."
    assert message.stop_reason == "tool_use"
    assert fragments > 6, "the inputs came in one piece"


def test_an_image_crosses_the_other_way(claude):
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
    assert claude.messages.create(**turn(content)).content[0].text == TEXT
    (message,) = seen()["body"]["messages"]
    (image,) = [part for part in message["content"] if part["type"] == "image_url"]
    assert image["image_url"]["url"] == f"data:image/png;base64,{PNG}"


@pytest.mark.parametrize(
    "status, error",
    [
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (401, anthropic.AuthenticationError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_of_an_openai_server_are_those_that_anthropic_clients_know(claude, status, error, stream):
    with pytest.raises(error) as caught:
        claude.messages.create(**turn(f"fail {status}"), stream=stream)
    assert caught.value.status_code == status
    assert caught.value.body["type"] == "error"
    assert f"failed with {status}" in caught.value.body["error"]["message"]


def test_the_clients_key_is_the_one_that_the_openai_server_checks():
    with anthropic.Anthropic(base_url=URL, api_key="wrong", max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError):
            client.messages.create(**turn("Hi"))


def test_a_stream_that_breaks_at_an_openai_server_never_looks_complete(claude):
    kinds = []
    with pytest.raises(anthropic.APIError):
        for event in claude.messages.create(**turn("break"), stream=True):
            kinds.append(event.type)
    assert "content_block_delta" in kinds, "nothing came before it broke"
    assert "message_stop" not in kinds
