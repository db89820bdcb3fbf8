"""Trains two versions of a classifier of irises and writes what the servers load.

`train.py FOLDER` makes FOLDER/v1 and FOLDER/v2, each a folder that MLServer serves:
a logistic regression and a decision tree. Both know the flowers that the tests ask about.
"""

import json
import pathlib
import sys

import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

VERSIONS = {
    "v1": LogisticRegression(max_iter=1000),
    "v2": DecisionTreeClassifier(max_depth=3, random_state=0),
}


def main(folder):
    flowers = load_iris()
    for version, model in VERSIONS.items():
        home = pathlib.Path(folder) / version
        home.mkdir(parents=True, exist_ok=True)
        joblib.dump(model.fit(flowers.data, flowers.target), home / "model.joblib")
        settings = {
            "name": "iris",
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": "./model.joblib", "version": version},
            "inputs": [{"name": "predict", "datatype": "FP64", "shape": [-1, 4]}],
            "outputs": [{"name": "predict", "datatype": "INT64", "shape": [-1, 1]}],
        }
        (home / "model-settings.json").write_text(json.dumps(settings, indent=2))


if __name__ == "__main__":
    main(sys.argv[1])
