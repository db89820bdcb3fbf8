"""KServe's Python server with the iris model, as `flowers`, for V1 and V2.

`kserve_flowers.py --model_file FILE` and what `kserve.ModelServer` takes.
"""

import argparse

import joblib
from kserve import Model, ModelServer, model_server
from kserve.utils.utils import get_predict_input, get_predict_response


class Flowers(Model):
    def __init__(self, name, file):
        super().__init__(name)
        self._file = file
        self._model = None

    def load(self):
        self._model = joblib.load(self._file)
        self.ready = True
        return self.ready

    async def predict(self, payload, headers=None, response_headers=None):
        rows = get_predict_input(payload)
        return get_predict_response(payload, self._model.predict(rows), self.name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[model_server.parser])
    parser.add_argument("--model_file", required=True)
    arguments = parser.parse_args()
    flowers = Flowers("flowers", arguments.model_file)
    flowers.load()
    ModelServer().start([flowers])
