"""The iris model as Seldon's microservice serves it. `IRIS_MODEL` is its file."""

import os

import joblib


class Iris:
    def __init__(self):
        self._model = joblib.load(os.environ["IRIS_MODEL"])

    def predict(self, X, names=None, meta=None):
        return self._model.predict(X)

    def tags(self):
        return {"version": "v1"}

    def init_metadata(self):
        return {
            "name": "iris",
            "versions": ["v1"],
            "platform": "seldon",
            "inputs": [{"messagetype": "tensor", "schema": {"names": ["a", "b", "c", "d"], "shape": [4]}}],
            "outputs": [{"messagetype": "tensor", "schema": {"shape": [1]}}],
        }
