import json

import policy
from wit_world import exports
from wit_world.exports.policy import Description, Hooks, Needs


class Policy(exports.Policy):
    def describe(self):
        return Description("probe-py", "1.0.0", Hooks.REQUEST, Needs(0), "{}")

    def configure(self, settings):
        settings = json.loads(settings)
        if "fails" in settings:
            raise RuntimeError(settings["fails"])
        policy.greeting = settings["greeting"]

    def samples(self):
        return []
