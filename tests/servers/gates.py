"""Where the servers and the gateways are, and what one request gets from either.

`run` says it in the environment: the ports of servers and gateways, all on 127.0.0.1.
"""

import http.client
import json
import os
import re
from dataclasses import dataclass

PORTS = {
    name: int(os.environ[f"{name.upper()}_PORT"])
    for name in ("mlserver", "canary", "kserve", "seldon", "kserve_front", "seldon_front", "shares")
}
KEY = {"authorization": "Bearer iris-demo-key"}
# With a session that the canary of kserve-front leaves on version 1.
CALLER = KEY | {"x-session-id": "session-1"}
JSON = {"content-type": "application/json"}

# A setosa, a versicolor and a virginica, far from where their kinds meet.
IRISES = [[5.1, 3.5, 1.4, 0.2], [5.7, 2.8, 4.1, 1.3], [6.7, 3.0, 5.2, 2.3]]
CLASSES = [0, 1, 2]
V1 = {"instances": IRISES}
V2 = {"inputs": [{"name": "predict", "shape": [3, 4], "datatype": "FP64", "data": IRISES}]}

# Of one connection, or of one request.
OWN = {"connection", "date", "keep-alive", "transfer-encoding", "ce-id", "ce-requestid"}
UUID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict
    body: bytes

    def json(self):
        return json.loads(self.body)

    def known(self):
        """What two answers to the same request have in common: no times, no new ids."""
        headers = {name: value for name, value in self.headers.items() if name not in OWN}
        for name in ("x-request-id", "x-tollgate-generation"):
            headers.pop(name, None)
        return self.status, headers, UUID.sub(b"<id>", self.body)


def ask(place, method, path, body=None, headers=None, chunked=False):
    """One request on a connection of its own; `body` is bytes, or what JSON is made of.

    `chunked` sends it in pieces, without its length.
    """
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body, headers = json.dumps(body).encode(), JSON | headers
    if chunked:
        body = iter([body[at : at + 37] for at in range(0, len(body), 37)])
    connection = http.client.HTTPConnection("127.0.0.1", PORTS[place], timeout=30)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        names = {name.lower() for name, _ in response.getheaders()}
        return Answer(
            response.status,
            {name: response.headers.get_all(name) for name in names},
            response.read(),
        )
    finally:
        connection.close()


def same(server, gate, method, path, body=None, headers=None, chunked=False):
    """Asks a server and the gateway in front of it, and claims that nothing differs."""
    direct = ask(server, method, path, body, headers, chunked)
    through = ask(gate, method, path, body, (headers or {}) | CALLER, chunked)
    assert through.known() == direct.known()
    assert "x-request-id" in through.headers, "this was not the gateway"
    return through
