"""A model server that speaks Anthropic's Messages and OpenAI's chat completions.

What it answers goes by the last text of the user: `tools` asks for two of them, `slowly`
and the rest is told in pieces, `fail STATUS` fails, `break` ends a stream in the middle.
It takes no request that the real one would not take: unknown fields, tool calls that
nobody answers, and so on are errors that say so. `GET /seen` is the last request.

`standin.py` says its address on the first line.
"""

import http.server
import json
import sys
import time

KEY = "key-of-ada"
TEXT = "The Rhône, the Ebro and the Minho — three rivers. 🌊"
CALLS = [
    ("call_1", "get_weather", {"city": 'Köln "am Rhein"', "days": 3}),
    ("call_2", "get_time", {"zone": "Europe/Berlin"}),
]

MESSAGES_FIELDS = {
    "model", "messages", "max_tokens", "system", "stream", "tools", "tool_choice", "temperature",
    "top_p", "top_k", "stop_sequences", "metadata",
}  # fmt: skip
CHAT_FIELDS = {
    "model", "messages", "max_completion_tokens", "stream", "stream_options", "tools",
    "tool_choice", "parallel_tool_calls", "temperature", "top_p", "stop", "user",
}  # fmt: skip


class Refused(Exception):
    """What the stand-in does not take."""

    def __init__(self, status, kind, text):
        super().__init__(text)
        self.status, self.kind, self.text = status, kind, text


def demand(holds, text):
    if not holds:
        raise Refused(400, "invalid_request_error", text)


def pieces(text, size=7):
    return [text[at : at + size] for at in range(0, len(text), size)]


def wish(text):
    """What the user's last text asks for."""
    words = text.split()
    if words[:1] == ["fail"]:
        kinds = {401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}
        status = int(words[1])
        raise Refused(status, kinds.get(status, "api_error"), f"failed with {status}, as asked")
    return text


class Anthropic:
    """Messages."""

    def __init__(self, body, headers):
        demand(headers.get("anthropic-version") == "2023-06-01", "anthropic-version: missing")
        if headers.get("x-api-key") != KEY or "authorization" in headers:
            raise Refused(401, "authentication_error", "invalid x-api-key")
        unknown = set(body) - MESSAGES_FIELDS
        demand(not unknown, f"{unknown}: extra inputs are not permitted")
        demand(body.get("model") == "claude-standin", "model: not found")
        demand(isinstance(body.get("max_tokens"), int), "max_tokens: field required")
        tools = body.get("tools", [])
        demand(all("input_schema" in tool for tool in tools), "tools: no input_schema")
        self.body = body
        self.results = {}
        self.text = wish(self._read(body["messages"]))

    def _read(self, messages):
        text, asked = "", set()
        for message in messages:
            demand(message["role"] in ("user", "assistant"), "messages: unknown role")
            content = message["content"]
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            answered = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
            demand(answered == asked, f"tool_use {asked} has to be answered, not {answered}")
            asked = {block["id"] for block in blocks if block["type"] == "tool_use"}
            for block in blocks:
                if block["type"] == "tool_result":
                    self.results[block["tool_use_id"]] = block["content"]
                if block["type"] == "text" and message["role"] == "user":
                    text = block["text"]
        demand(not asked, "the last tool_use is not answered")
        return text

    def _blocks(self):
        if self.text == "tools" and not self.results:
            calls = [{"type": "tool_use", "id": i, "name": n, "input": a} for i, n, a in CALLS]
            return "tool_use", [{"type": "text", "text": "Let me see."}, *calls]
        text = f"Told: {json.dumps(self.results, sort_keys=True)}" if self.results else TEXT
        return "end_turn", [{"type": "text", "text": text}]

    def _message(self, **rest):
        usage = {"input_tokens": 12, "output_tokens": 1, "cache_read_input_tokens": 8}
        fixed = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-standin"}
        return fixed | {"usage": usage, "stop_sequence": None} | rest

    def answer(self):
        reason, blocks = self._blocks()
        usage = {"input_tokens": 12, "output_tokens": 34, "cache_read_input_tokens": 8}
        return self._message(content=blocks, stop_reason=reason, usage=usage)

    def events(self):
        reason, blocks = self._blocks()
        yield "message_start", {"message": self._message(content=[], stop_reason=None)}
        yield "ping", {}
        for index, block in enumerate(blocks):
            is_text = block["type"] == "text"
            start = block | ({"text": ""} if is_text else {"input": {}})
            yield "content_block_start", {"index": index, "content_block": start}
            told = block["text"] if is_text else json.dumps(block["input"], ensure_ascii=False)
            for piece in pieces(told):
                delta = {"text_delta": "text"} if is_text else {"input_json_delta": "partial_json"}
                ((kind, field),) = delta.items()
                yield "content_block_delta", {"index": index, "delta": {"type": kind, field: piece}}
                if self.text == "break":
                    return
            yield "content_block_stop", {"index": index}
        yield "message_delta", {
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": 34},
        }
        yield "message_stop", {}

    def stream(self):
        for name, data in self.events():
            yield f"event: {name}\ndata: {json.dumps({'type': name} | data)}\n\n"

    @staticmethod
    def error(refused):
        return {"type": "error", "error": {"type": refused.kind, "message": refused.text}}


class OpenAi:
    """Chat completions."""

    def __init__(self, body, headers):
        if headers.get("authorization") != f"Bearer {KEY}" or "x-api-key" in headers:
            raise Refused(401, "invalid_request_error", "Incorrect API key provided")
        demand("anthropic-version" not in headers, "anthropic-version: of another dialect")
        unknown = set(body) - CHAT_FIELDS
        demand(not unknown, f"Unrecognized request arguments supplied: {unknown}")
        demand(body.get("model") == "gpt-standin", "model: not found")
        tools = body.get("tools", [])
        demand(all(tool["type"] == "function" for tool in tools), "tools: no functions")
        self.body = body
        self.results = {}
        self.text = wish(self._read(body["messages"]))

    def _read(self, messages):
        text, asked = "", set()
        for message in messages:
            role = message["role"]
            demand(role in ("system", "developer", "user", "assistant", "tool"), "unknown role")
            if role == "tool":
                demand(message["tool_call_id"] in asked, "a tool's answer to nothing")
                asked.discard(message["tool_call_id"])
                self.results[message["tool_call_id"]] = message["content"]
                continue
            demand(not asked, f"tool calls {asked} are not answered")
            for call in message.get("tool_calls") or []:
                json.loads(call["function"]["arguments"])
                asked.add(call["id"])
            if role == "user":
                content = message["content"]
                texts = [content] if isinstance(content, str) else [p["text"] for p in content if p["type"] == "text"]
                text = texts[-1] if texts else text
        demand(not asked, "the last tool calls are not answered")
        return text

    def _said(self):
        if self.text == "tools" and not self.results:
            functions = [{"name": n, "arguments": json.dumps(a, ensure_ascii=False)} for _, n, a in CALLS]
            ids = [i for i, _, _ in CALLS]
            calls = [{"id": i, "type": "function", "function": f} for i, f in zip(ids, functions)]
            return "tool_calls", "Let me see.", calls
        text = f"Told: {json.dumps(self.results, sort_keys=True)}" if self.results else TEXT
        return "stop", text, []

    USAGE = {
        "prompt_tokens": 20,
        "completion_tokens": 34,
        "total_tokens": 54,
        "prompt_tokens_details": {"cached_tokens": 8},
    }

    def answer(self):
        reason, text, calls = self._said()
        message = {"role": "assistant", "content": text} | ({"tool_calls": calls} if calls else {})
        choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
        return self._fixed("chat.completion") | {"choices": [choice], "usage": self.USAGE}

    @staticmethod
    def _fixed(kind):
        return {"id": "chatcmpl-1", "object": kind, "created": int(time.time()), "model": "gpt-standin"}

    def deltas(self):
        reason, text, calls = self._said()
        yield {"role": "assistant", "content": ""}, None
        for piece in pieces(text):
            yield {"content": piece}, None
            if self.text == "break":
                return
        for index, call in enumerate(calls):
            function = call["function"]
            begun = {"name": function["name"], "arguments": ""}
            yield {"tool_calls": [call | {"index": index, "function": begun}]}, None
            for piece in pieces(function["arguments"]):
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, None
        yield {}, reason

    def stream(self):
        fixed, reason = self._fixed("chat.completion.chunk"), None
        for delta, reason in self.deltas():
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            yield f"data: {json.dumps(fixed | {'choices': [choice]})}\n\n"
        if reason is None:
            return
        if (self.body.get("stream_options") or {}).get("include_usage"):
            yield f"data: {json.dumps(fixed | {'choices': [], 'usage': self.USAGE})}\n\n"
        yield "data: [DONE]\n\n"

    @staticmethod
    def error(refused):
        return {"error": {"message": refused.text, "type": refused.kind, "param": None, "code": None}}


DIALECTS = {"/v1/messages": Anthropic, "/v1/chat/completions": OpenAi}


class Exchange(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = {}

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.say(200, Exchange.seen)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        Exchange.seen = {"path": self.path, "headers": headers, "body": body}
        dialect = DIALECTS[self.path]
        try:
            spoken = dialect(body, headers)
        except Refused as refused:
            self.say(refused.status, dialect.error(refused))
            return
        if not body.get("stream"):
            self.say(200, spoken.answer())
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in spoken.stream():
            event = event.encode()
            self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def say(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Exchange)
    print(f"127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)
