"""Two versions of a model on two servers share its requests by weight.

The gateway shares by the weights of a model's targets, as the path names it; the plugin `model-router` by whatever a route is for, and leaves a session where it was.
"""

import http.client
import json
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from gates import CLASSES, JSON, KEY, PORTS, V2, ask

REQUESTS = 2000
SHARE = 0.1
CLIENTS = 4
INFER = "/v2/models/iris/infer"


def ask_often(place, body, times):
    """The versions that answered, one request after another on one connection."""
    versions = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", PORTS[place], timeout=60)
    for _ in range(times):
        connection.request("POST", INFER, json.dumps(body), JSON | KEY)
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 200, answer
        assert answer["outputs"][0]["data"] == CLASSES
        versions[answer["model_version"]] += 1
    connection.close()
    return versions


def share_of_version_2(place, body):
    with ThreadPoolExecutor(CLIENTS) as clients:
        each = [clients.submit(ask_often, place, body, REQUESTS // CLIENTS) for _ in range(CLIENTS)]
        versions = sum((client.result() for client in each), Counter())
    assert set(versions) <= {"v1", "v2"}
    assert versions.total() == REQUESTS
    return versions["v2"] / REQUESTS


@pytest.mark.parametrize("place", ["kserve_front", "shares"])
def test_a_canary_of_ten_per_cent_gets_ten_per_cent_within_three_standard_errors(place):
    error = math.sqrt(SHARE * (1 - SHARE) / REQUESTS)
    off = abs(share_of_version_2(place, V2) - SHARE)
    # Chance alone lands beyond that once in 370 runs, and twice in a row once in 137,000.
    if off > 3 * error:
        off = abs(share_of_version_2(place, V2) - SHARE)
    assert off <= 3 * error


def test_sessions_stay_with_their_version_and_share_the_versions_by_weight():
    sessions = [f"session-{at}" for at in range(200)]
    versions = []
    for _ in range(2):
        asked = [ask("kserve_front", "POST", INFER, V2, KEY | {"x-session-id": name}) for name in sessions]
        versions.append([answer.json()["model_version"] for answer in asked])
    assert versions[0] == versions[1]
    # The same sessions and weights, so the same shares each time.
    assert 0.05 < versions[0].count("v2") / len(sessions) < 0.15


def test_a_model_that_nobody_serves_is_an_error_as_v2_clients_read_it():
    answer = ask("shares", "POST", "/v2/models/tulips/infer", V2)
    assert answer.status == 404
    assert answer.json() == {"error": "the model `tulips` does not exist", "code": "model_not_found"}
