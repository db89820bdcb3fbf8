"""MLServer, KServe's and Seldon's servers: the gateway passes on what they are and say."""

import gzip
import http.client
import json
import socket

import pytest
from gates import CALLER, CLASSES, IRISES, JSON, KEY, PORTS, V1, V2, ask, same

SELDON = {"data": {"ndarray": IRISES}}
PREDICTIONS = "/api/v1.0/predictions"


def classes_of_v2(answer):
    (output,) = answer.json()["outputs"]
    return output["data"]


def test_mlserver_knows_the_irises_through_the_gateway_as_it_does_directly():
    answer = same("mlserver", "kserve_front", "POST", "/v2/models/iris/infer", V2)
    assert answer.status == 200
    assert classes_of_v2(answer) == CLASSES


@pytest.mark.parametrize("server, version", [("mlserver", "v1"), ("canary", "v2")])
def test_each_version_of_the_model_knows_them_and_says_which_it_is(server, version):
    path = f"/v2/models/iris/versions/{version}/infer"
    answer = same(server, "kserve_front", "POST", path, V2)
    assert classes_of_v2(answer) == CLASSES
    assert answer.json()["model_version"] == version


def test_kserve_knows_the_irises_by_v2():
    answer = same("kserve", "kserve_front", "POST", "/v2/models/flowers/infer", V2)
    assert classes_of_v2(answer) == CLASSES


def test_kserve_knows_the_irises_by_v1():
    answer = same("kserve", "kserve_front", "POST", "/v1/models/flowers:predict", V1)
    assert answer.json() == {"predictions": CLASSES}


def test_seldon_knows_the_irises():
    answer = same("seldon", "seldon_front", "POST", PREDICTIONS, SELDON)
    assert answer.json()["data"]["ndarray"] == CLASSES


@pytest.mark.parametrize(
    "data",
    [
        {"ndarray": IRISES},
        {"names": ["a", "b", "c", "d"], "ndarray": IRISES},
        {"tensor": {"shape": [3, 4], "values": sum(IRISES, [])}},
    ],
)
def test_a_seldon_client_is_answered_by_mlserver_as_seldon_would(data):
    path = "/seldon/shop/iris/api/v1.0/predictions"
    asked = {"data": data, "meta": {"puid": "of-the-client"}}
    answer = ask("seldon_front", "POST", path, asked, KEY)
    assert answer.status == 200
    said = answer.json()
    assert said["meta"]["puid"] == "of-the-client"
    if "tensor" in data:
        assert said["data"]["tensor"] == {"shape": [3, 1], "values": CLASSES}
    else:
        assert said["data"]["ndarray"] == [[known] for known in CLASSES]


def test_a_client_of_v2_is_answered_by_seldon():
    answer = ask("seldon_front", "POST", "/v2/models/flowers/infer", V2, KEY)
    assert answer.status == 200
    assert answer.json()["model_name"] == "flowers"
    assert classes_of_v2(answer) == CLASSES


def test_an_error_of_mlserver_is_one_that_a_seldon_client_reads():
    path = "/seldon/shop/iris/api/v1.0/predictions"
    answer = ask("seldon_front", "POST", path, {"data": {"ndarray": [[1.0, 2.0]]}}, KEY)
    assert answer.status >= 400
    assert answer.json()["status"]["status"] == "FAILURE"


@pytest.mark.parametrize(
    "server, gate, path",
    [
        ("mlserver", "kserve_front", "/v2"),
        ("mlserver", "kserve_front", "/v2/health/live"),
        ("mlserver", "kserve_front", "/v2/health/ready"),
        ("mlserver", "kserve_front", "/v2/models/iris"),
        ("mlserver", "kserve_front", "/v2/models/iris/ready"),
        ("mlserver", "kserve_front", "/v2/models/iris/versions/v1"),
        ("mlserver", "kserve_front", "/v2/models/iris/versions/v1/ready"),
        ("kserve", "kserve_front", "/v1/models"),
        ("kserve", "kserve_front", "/v1/models/flowers"),
        ("kserve", "kserve_front", "/v2/models/flowers"),
        ("kserve", "kserve_front", "/v2/models/flowers/ready"),
        ("seldon", "seldon_front", "/health/ping"),
        ("seldon", "seldon_front", "/health/status"),
        ("seldon", "seldon_front", "/metadata"),
    ],
)
def test_readiness_and_metadata_pass_as_they_are(server, gate, path):
    assert same(server, gate, "GET", path).status == 200


@pytest.mark.parametrize(
    "server, gate, path, body, status",
    [
        ("mlserver", "kserve_front", "/v2/models/tulips/infer", V2, 404),
        ("mlserver", "kserve_front", "/v2/models/iris/versions/v9/infer", V2, 404),
        ("mlserver", "kserve_front", "/v2/models/iris/infer", b"{", 422),
        ("kserve", "kserve_front", "/v1/models/tulips:predict", V1, 404),
        ("kserve", "kserve_front", "/v1/models/flowers:predict", b"{", 400),
        ("kserve", "kserve_front", "/v2/models/flowers/infer", {"inputs": 1}, 422),
        ("seldon", "seldon_front", PREDICTIONS, {}, 400),
    ],
)
def test_the_servers_own_errors_pass_as_they_are(server, gate, path, body, status):
    assert same(server, gate, "POST", path, body, JSON).status == status


@pytest.mark.parametrize("path", ["/v2/models/iris/infer", "/v1/models/flowers:predict", "/v2"])
def test_a_caller_without_a_key_reaches_no_model(path):
    answer = ask("kserve_front", "POST", path, V2)
    assert answer.status == 401
    error = answer.json()
    # As clients of V1 and V2 read it; elsewhere as OpenAI's do.
    code = error["code"] if path != "/v2" else error["error"]["code"]
    assert code == "missing_api_key"


def test_what_the_seldon_front_does_not_list_leads_nowhere():
    assert ask("seldon", "GET", "/seldon.json").status == 200
    answer = ask("seldon_front", "GET", "/seldon.json", headers=KEY)
    assert answer.status == 404
    assert answer.json()["error"]["code"] == "route_not_found"


@pytest.mark.parametrize(
    "server, gate, path, body",
    [
        ("mlserver", "kserve_front", "/v2/models/iris/infer", V2),
        ("kserve", "kserve_front", "/v1/models/flowers:predict", V1),
    ],
)
def test_a_body_of_unknown_length_arrives_whole(server, gate, path, body):
    answer = same(server, gate, "POST", path, json.dumps(body).encode(), JSON, chunked=True)
    assert answer.status == 200


def test_compressed_requests_and_answers_pass_as_they_are():
    body = gzip.compress(json.dumps(V2).encode())
    headers = JSON | {"content-encoding": "gzip", "accept-encoding": "gzip"}
    path = "/v2/models/iris/infer"
    answer = same("mlserver", "kserve_front", "POST", path, body, headers)
    assert classes_of_v2(answer) == CLASSES
    many = V2 | {"inputs": [V2["inputs"][0] | {"shape": [3000, 4], "data": IRISES * 1000}]}
    large = ask("kserve_front", "POST", path, many, CALLER | {"accept-encoding": "gzip"})
    assert large.headers["content-encoding"] == ["gzip"]
    (output,) = json.loads(gzip.decompress(large.body))["outputs"]
    assert output["data"] == CLASSES * 1000


def test_megabytes_of_irises_arrive_whole():
    rows = 20_000
    many = {"inputs": [V2["inputs"][0] | {"shape": [3 * rows, 4], "data": IRISES * rows}]}
    answer = same("mlserver", "kserve_front", "POST", "/v2/models/iris/infer", many)
    assert classes_of_v2(answer) == CLASSES * rows


@pytest.mark.parametrize(
    "place, path", [("kserve_front", "/v2/models/iris"), ("seldon_front", "/metadata")]
)
def test_a_client_of_http_1_0_is_answered_and_left(place, path):
    server = {"kserve_front": "mlserver", "seldon_front": "seldon"}[place]
    request = f"GET {path} HTTP/1.0\r\nauthorization: Bearer iris-demo-key\r\n\r\n"
    with socket.create_connection(("127.0.0.1", PORTS[place]), timeout=20) as connection:
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, body = answer.split(b"\r\n\r\n", 1)
    assert head.split()[1] == b"200"
    assert b"transfer-encoding" not in head.lower()
    assert body == ask(server, "GET", path).body


def test_a_connection_is_good_for_many_requests_though_the_server_closes_its_own():
    connection = http.client.HTTPConnection("127.0.0.1", PORTS["seldon_front"], timeout=20)
    connection.connect()
    opened = connection.sock
    for _ in range(20):
        connection.request("GET", "/metadata", headers=KEY)
        response = connection.getresponse()
        assert response.status == 200
        assert response.getheader("connection") is None
        assert response.read()
        assert connection.sock is opened
    connection.close()
