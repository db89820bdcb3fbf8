"""The same rule in Rust, JavaScript and Python does the same; what a policy in another
language can do, and what becomes of it where it goes wrong. `run` sets the addresses."""

import http.client
import json
import os
import re
import time
import unittest

LANGUAGES = ["rust", "javascript", "python"]
POLICIES = [f"{language}-{isolation}" for language in LANGUAGES for isolation in ["exchange", "shared"]]
GATEWAY, ADMIN, STANDIN = (os.environ[name] for name in ["GATEWAY", "ADMIN", "STANDIN"])
LOG = os.environ["GATEWAY_LOG"]


def ask(address, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return answer.status, content


def chat(policy, body, events=(), **headers):
    """The status, and the data of each event, or the error."""
    headers = {"x-policy": policy, "content-type": "application/json", "x-events": json.dumps(events), **headers}
    status, text = ask(GATEWAY, "POST", "/v1/chat/completions", json.dumps(body), headers)
    if status != 200:
        return status, json.loads(text)
    return status, [line[len("data: ") :] for line in text.splitlines() if line.startswith("data: ")]


def seen():
    return json.loads(ask(STANDIN, "GET", "/seen")[1])


def chunk(*texts, **fields):
    choices = [{"index": at, "delta": {"content": text}} for at, text in enumerate(texts)]
    return json.dumps({"id": "c", "object": "chat.completion.chunk", **fields, "choices": choices})


class TheSameRule(unittest.TestCase):
    def test_numbers_are_kept_within_bounds(self):
        cases = [
            ({"temperature": 1.7}, {"temperature": 1}),
            ({"temperature": -3, "max_tokens": 5000}, {"temperature": 0, "max_tokens": 4096}),
            ({"temperature": 0.25, "max_tokens": 1}, {}),
            ({"temperature": None}, {}),
            ({"max_tokens": 123456789012345678901234567890}, {"max_tokens": 4096}),
            ({"other": [1, {"temperature": 9}]}, {}),
        ]
        for policy in POLICIES:
            with self.subTest(policy):
                for sent, changed in cases:
                    body = {"model": "llama-3", "stream": True, "messages": [], **sent}
                    self.assertEqual(chat(policy, body), (200, ["[DONE]"]))
                    self.assertEqual(seen()["body"], {**body, **changed})

    def test_a_model_without_a_rule_is_left_alone(self):
        text = chunk("made by ACME")
        for policy in POLICIES:
            with self.subTest(policy):
                for model in ["gpt", "Llama-3", "llam", "a llama-3"]:
                    body = {"model": model, "temperature": 9, "messages": []}
                    self.assertEqual(chat(policy, body, [text]), (200, [text, "[DONE]"]))
                    self.assertEqual(seen()["body"], body)

    def test_what_is_no_number_is_refused(self):
        for policy in POLICIES:
            with self.subTest(policy):
                for wrong in ["warm", True, [], {}]:
                    status, error = chat(policy, {"model": "llama-3", "temperature": wrong, "messages": []})
                    self.assertEqual(status, 400)
                    self.assertEqual(error["error"]["code"], "invalid_field")
                    self.assertIn("`/temperature`", error["error"]["message"])

    def test_text_is_replaced_within_an_event(self):
        events = [
            (chunk("made by ACME, for ACME"), chunk("made by Acme, for Acme")),
            (chunk("ACME", "nothing", "“ACME” 🌊"), chunk("Acme", "nothing", "“Acme” 🌊")),
            (chunk("one $& two"), chunk("one $&$& two")),
            (chunk("ACME", created=1700000000, usage=None), chunk("Acme", created=1700000000, usage=None)),
        ]
        untouched = [
            chunk("AC"),
            chunk("ME"),
            chunk("acme"),
            '{"choices" : [ ], "usage":{"total_tokens":1.0}}',
            '{"choices":"ACME"}',
            '{"choices":[{"delta":{"role":"assistant"}},null,7]}',
            '["ACME"]',
            '"ACME"',
            "ACME { not JSON",
            "null",
        ]
        for policy in POLICIES:
            with self.subTest(policy):
                body = {"model": "llama-3", "stream": True, "messages": []}
                sent = [before for before, _ in events] + untouched
                status, got = chat(policy, body, sent)
                self.assertEqual(status, 200)
                self.assertEqual(got[len(events) :], [*untouched, "[DONE]"])
                after = [json.loads(text) for text in got[: len(events)]]
                self.assertEqual(after, [json.loads(after) for _, after in events])


class LongStreams(unittest.TestCase):
    def test_what_events_leave_behind_is_collected_before_the_memory_is_full(self):
        """JavaScript's engine does so late: in 64 MiB such a stream broke off after 105,000."""
        times = 150_000
        body = {"model": "llama-3", "stream": True, "messages": []}
        text = chunk("made by ACME", created=1700000000, model="llama-3")
        status, got = chat("javascript-shared", body, [text], **{"x-times": str(times)})
        self.assertEqual((status, len(got), got[-1:]), (200, times + 1, ["[DONE]"]))
        self.assertEqual(len(set(got[:-1])), 1)
        self.assertIn("made by Acme", got[0])


class Probe(unittest.TestCase):
    """What `probe.js` and `probe-in-python` do."""

    def deed(self, language, deed):
        """What it says it saw; or the error."""
        body = {"model": "m", "messages": []}
        status, answer = chat(f"probe-{language}", body, **{"x-do": deed})
        if status != 200:
            self.assertEqual((status, answer["error"]["code"]), (500, "policy_failed"), answer)
            return None
        return seen()["headers"]["x-seen"]

    def logged(self, pattern):
        for _ in range(50):
            with open(LOG) as log:
                if re.search(pattern, log.read()):
                    return
            time.sleep(0.1)
        with open(LOG) as log:
            self.fail(f"{pattern} is not in\n{log.read()[-4000:]}")

    def test_its_settings_are_there_in_every_instance(self):
        for language in LANGUAGES[1:]:
            for _ in range(20):
                self.assertEqual(self.deed(language, "greet"), "hello", language)

    def test_it_knows_the_time(self):
        for language in LANGUAGES[1:]:
            there, here = int(self.deed(language, "time")), time.time() * 1000
            self.assertLess(abs(there - here), 60_000, language)

    def test_random_numbers_differ_from_instance_to_instance(self):
        for language in LANGUAGES[1:]:
            drawn = [self.deed(language, "random").split() for _ in range(10)]
            for kind in zip(*drawn):
                self.assertEqual(len(set(kind)), 10, f"{language}: {kind}")

    def test_what_it_writes_is_in_the_log(self):
        for language in LANGUAGES[1:]:
            self.assertEqual(self.deed(language, "write"), "written")
            self.logged(f"INFO.*probe-{language}.*to standard output|INFO.*to standard output.*probe-{language}")
            self.logged(f"WARN.*probe-{language}.*to standard error|WARN.*to standard error.*probe-{language}")

    def test_an_exception_fails_the_exchange_and_its_message_is_in_the_log(self):
        for language in LANGUAGES[1:]:
            self.assertIsNone(self.deed(language, "throw"))
            self.assertEqual(self.deed(language, "greet"), "hello")
            self.logged("thrown on purpose")

    def test_loops_floods_and_deep_recursion_hurt_their_own_exchange_alone(self):
        for language in LANGUAGES[1:]:
            for deed in ["loop", "memory", "recursion", "nested"]:
                self.deed(language, deed)
                self.assertEqual(self.deed(language, "greet"), "hello", deed)
            self.assertIsNone(self.deed(language, "loop"))

    def test_it_cannot_wait(self):
        for language in LANGUAGES[1:]:
            self.assertIsNone(self.deed(language, "wait"), language)
        self.logged("a plugin cannot wait")

    def test_there_is_nothing_of_the_machine(self):
        self.assertEqual(self.deed("python", "files"), "FileNotFoundError")
        self.assertEqual(self.deed("python", "environment"), "{}")
        self.assertIsNone(self.deed("python", "sockets"))
        self.logged("a plugin has no sockets")


def costs():
    """What the hooks took, from the gateway's own metrics."""
    count = 100
    text = chunk("a piece of text made by ACME")
    before = totals()
    for policy in POLICIES:
        for _ in range(count):
            body = {"model": "llama-3", "temperature": 2, "stream": True, "messages": []}
            chat(policy, body, [text] * 4)
    after = totals()
    print(f"\n{'policy':24}{'hook':14}{'calls':>8}{'µs a call':>12}")
    for key in sorted(after):
        calls, seconds = (now - then for now, then in zip(after[key], before.get(key, (0, 0))))
        if calls >= count:
            print(f"{key[0]:24}{key[1]:14}{calls:8.0f}{seconds / calls * 1e6:12.1f}")


def totals():
    text = ask(ADMIN, "GET", "/metrics")[1]
    found = {}
    pattern = r'^tollgate_policy_(calls|seconds)_total\{policy="([^"]*)",hook="([^"]*)"\} (\S+)'
    for what, policy, hook, number in re.findall(pattern, text, re.MULTILINE):
        calls, seconds = found.get((policy, hook), (0, 0))
        found[policy, hook] = (float(number), seconds) if what == "calls" else (calls, float(number))
    return found


if __name__ == "__main__":
    program = unittest.main(exit=False)
    costs()
    raise SystemExit(not program.result.wasSuccessful())
