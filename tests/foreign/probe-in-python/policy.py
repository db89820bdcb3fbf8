"""Does what the header `x-do` says, and reports in `x-seen`: what a policy in Python can
do, and what becomes of it where it goes wrong."""

import json
import os
import random
import socket
import sys
import time

from wit_world.imports.types import Decision, Edit_SetHeader, EventsDecision, Header, Verdict_Next

greeting = ""


def write():
    print("to standard output", flush=True)
    print("to standard error", file=sys.stderr)
    return "written"


def throw():
    raise RuntimeError("thrown on purpose")


def loop():
    while True:
        pass


def memory():
    everything = []
    while True:
        everything.append(bytearray(1 << 20))


def recursion():
    def deeper(n):
        return 1 + deeper(n + 1)

    try:
        return str(deeper(0))
    except RecursionError as error:
        return type(error).__name__


def nested():
    text = "[" * 5000 + "]" * 5000
    try:
        return "parsed" if json.dumps(json.loads(text)) == text else "changed"
    except RecursionError as error:
        return type(error).__name__


def files():
    try:
        with open("/etc/hostname") as file:
            return file.read()
    except OSError as error:
        return type(error).__name__


def environment():
    return json.dumps(dict(os.environ))


def sockets():
    socket.socket()
    return "made"


def wait():
    time.sleep(0.001)
    return "waited"


DEEDS = {
    "write": write,
    "time": lambda: str(int(time.time() * 1000)),
    "random": lambda: f"{random.random()} {os.urandom(8).hex()}",
    "throw": throw,
    "loop": loop,
    "memory": memory,
    "recursion": recursion,
    "nested": nested,
    "files": files,
    "environment": environment,
    "sockets": sockets,
    "wait": wait,
}


class Session:
    def __init__(self, head):
        pass

    def on_request(self, request):
        name = (request.header("x-do") or b"").decode()
        seen = DEEDS.get(name, lambda: greeting)()
        return Decision(Verdict_Next(), [Edit_SetHeader(Header("x-seen", seen.encode()))])

    def on_attempt(self, target, request):
        return Decision(Verdict_Next(), [])

    def on_response(self, status, response):
        return Decision(Verdict_Next(), [])

    def on_events(self, batch, last):
        return EventsDecision([], [])

    def on_finish(self, outcome):
        pass
