"""NVIDIA's `tritonclient`, unchanged, for V2 against real servers behind the gateway.

MLServer takes tensors as JSON alone, whatever the client prefers; KServe's server takes
and sends them as bytes, too, and nothing compressed.
"""

import numpy
import pytest
import tritonclient.http as triton
from gates import CALLER, CLASSES, IRISES, PORTS
from tritonclient.utils import InferenceServerException


@pytest.fixture(params=["direct", "gateway"])
def client_of(request):
    """A client of a server, without or with the gateway between them."""
    clients = []

    def connect(server):
        place = server if request.param == "direct" else "kserve_front"
        clients.append(triton.InferenceServerClient(f"127.0.0.1:{PORTS[place]}"))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def infer(client, model, output, binary_in, binary_out, coding=None, version=""):
    rows = numpy.array(IRISES, dtype=numpy.float64)
    tensor = triton.InferInput("predict", list(rows.shape), "FP64")
    tensor.set_data_from_numpy(rows, binary_data=binary_in)
    # The client writes into the headers that it is given.
    return client.infer(
        model,
        [tensor],
        model_version=version,
        outputs=[triton.InferRequestedOutput(output, binary_data=binary_out)],
        headers=dict(CALLER),
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )


@pytest.mark.parametrize("server, model", [("mlserver", "iris"), ("kserve", "flowers")])
def test_servers_and_models_are_ready(client_of, server, model):
    client = client_of(server)
    assert client.is_server_live(headers=dict(CALLER))
    assert client.is_server_ready(headers=dict(CALLER))
    assert client.is_model_ready(model, headers=dict(CALLER))
    assert client.get_model_metadata(model, headers=dict(CALLER))["name"] == model


@pytest.mark.parametrize("coding", [None, "gzip"])
@pytest.mark.parametrize("version", ["", "v1"])
def test_tensors_as_json_are_classified_by_mlserver(client_of, coding, version):
    answer = infer(client_of("mlserver"), "iris", "predict", False, False, coding, version)
    assert answer.as_numpy("predict").flatten().tolist() == CLASSES
    assert answer.get_response()["model_version"] == "v1"


@pytest.mark.parametrize("binary_out", [False, True])
def test_binary_tensors_are_classified_by_kserve(client_of, binary_out):
    answer = infer(client_of("kserve"), "flowers", "output-0", True, binary_out)
    assert answer.as_numpy("output-0").tolist() == CLASSES
    (output,) = answer.get_response()["outputs"]
    assert ("data" in output) != binary_out


def test_that_mlserver_knows_no_binary_tensors_is_for_mlserver_to_say(client_of):
    with pytest.raises(InferenceServerException) as caught:
        infer(client_of("mlserver"), "iris", "predict", True, True)
    assert "422" in str(caught.value.status())
    assert "json_invalid" in caught.value.message()


def test_many_binary_tensors_over_one_connection_keep_apart(client_of):
    client = client_of("kserve")
    for at in range(60):
        rows = numpy.array([IRISES[at % 3]] * (at + 1))
        tensor = triton.InferInput("predict", list(rows.shape), "FP64")
        tensor.set_data_from_numpy(rows)
        output = triton.InferRequestedOutput("output-0")
        answer = client.infer("flowers", [tensor], outputs=[output], headers=dict(CALLER))
        assert answer.as_numpy("output-0").tolist() == [CLASSES[at % 3]] * (at + 1)
