"""The official `openai` package, unchanged, against a running gateway.

`run` beside this file starts the gateway with the stand-in model server behind it
and says where it is in TOLLGATE_URL.
"""

import os
import time
import urllib.request
import json

import openai
import pytest

URL = os.environ["TOLLGATE_URL"]
KEY = "demo-key-ada"
ASK = [{"role": "user", "content": "Name three rivers."}]


@pytest.fixture
def client():
    with openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0, timeout=20) as client:
        yield client


def test_a_chat_request_is_answered(client):
    answer = client.chat.completions.create(model="assistant", messages=ASK)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_alias_of_the_rules_is_what_the_upstream_answers_as(client):
    assert client.chat.completions.create(model="assistant", messages=ASK).model == "standin-small"


def test_a_streamed_chat_arrives_in_pieces_and_whole(client):
    pieces, usage = [], None
    stream = client.chat.completions.create(
        model="assistant", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    for chunk in stream:
        usage = chunk.usage or usage
        pieces += [choice.delta.content for choice in chunk.choices if choice.delta.content]
    assert len(pieces) > 3
    assert usage.completion_tokens > 0


def test_embeddings_are_answered(client):
    answer = client.embeddings.create(model="standin-small", input=["one", "two"])
    assert len(answer.data) == 2
    assert all(len(item.embedding) > 0 for item in answer.data)


def test_models_are_listed(client):
    assert [model.id for model in client.models.list()]


def test_a_wrong_key_is_an_authentication_error():
    with openai.OpenAI(base_url=f"{URL}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.chat.completions.create(model="assistant", messages=ASK)
    assert caught.value.code == "invalid_api_key"
    assert caught.value.request_id


def test_an_unknown_model_is_a_not_found_error(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="no-such-model", messages=ASK)
    assert caught.value.code == "model_not_found"


def test_a_failing_upstream_is_the_error_that_it_sent(client):
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="assistant", messages=ASK, extra_headers={"x-standin": "fail=500"})


def test_too_many_requests_upstream_is_a_rate_limit_error(client):
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="assistant", messages=ASK, extra_headers={"x-standin": "status=429"})


def test_a_stream_that_breaks_upstream_raises_and_never_looks_complete(client):
    stream = client.chat.completions.create(
        model="assistant", messages=ASK, stream=True, extra_headers={"x-standin": "cut-after=3"}
    )
    with pytest.raises(Exception):
        for _ in stream:
            pass


def test_a_cancelled_stream_leaves_nothing_open(client):
    stream = client.chat.completions.create(
        model="assistant", messages=ASK, stream=True, extra_headers={"x-standin": "tokens=500,pace=20ms"}
    )
    next(iter(stream))
    stream.close()
    admin = os.environ["TOLLGATE_ADMIN"]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        generations = json.load(urllib.request.urlopen(f"{admin}/generations"))
        if all(generation["exchanges"] == 0 for generation in generations["generations"]):
            return
        time.sleep(0.05)
    raise AssertionError("an exchange is still open ten seconds after its client left")
