"""Two versions of a model on two servers share its requests by weight."""

import http.client
import json
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from gates import CLASSES, JSON, PORTS, V2, ask

REQUESTS = 2000
SHARE = 0.1
CLIENTS = 4


def ask_often(times):
    """The versions that answered, one request after another on one connection."""
    versions = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", PORTS["shares"], timeout=60)
    body = json.dumps({"model": "iris"} | V2)
    for _ in range(times):
        connection.request("POST", "/v2/models/iris/infer", body, JSON)
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 200, answer
        assert answer["outputs"][0]["data"] == CLASSES
        versions[answer["model_version"]] += 1
    connection.close()
    return versions


def share_of_version_2():
    with ThreadPoolExecutor(CLIENTS) as clients:
        each = [clients.submit(ask_often, REQUESTS // CLIENTS) for _ in range(CLIENTS)]
        versions = sum((client.result() for client in each), Counter())
    assert set(versions) <= {"v1", "v2"}
    assert versions.total() == REQUESTS
    return versions["v2"] / REQUESTS


def test_a_canary_of_ten_per_cent_gets_ten_per_cent_within_three_standard_errors():
    error = math.sqrt(SHARE * (1 - SHARE) / REQUESTS)
    off = abs(share_of_version_2() - SHARE)
    # Chance alone lands beyond that once in 370 runs, and twice in a row once in 137,000.
    if off > 3 * error:
        off = abs(share_of_version_2() - SHARE)
    assert off <= 3 * error


def test_a_request_that_names_no_model_goes_nowhere():
    answer = ask("shares", "POST", "/v2/models/iris/infer", V2)
    assert answer.status == 400
    assert answer.json()["error"]["code"] == "model_required"
