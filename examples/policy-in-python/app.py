"""What the plugin says of itself, and what becomes of its settings."""

import json

import policy
from wit_world import exports
from wit_world.exports.policy import Description, Hooks, Needs
from wit_world.imports.types import Event, Expectation_Forwarded, Sample


def closed(properties: dict, *required: str) -> dict:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": list(required),
    }


NUMBER = {"type": "number"}
SCHEMA = closed(
    {
        "rules": {
            "description": "The first that has the model is applied, and no other.",
            "type": "array",
            "items": closed(
                {
                    "models": {
                        "description": "Names, or globs in which `*` stands for any text.",
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string"},
                    },
                    "request": closed(
                        {
                            "clamp": {
                                "description": "By JSON pointer: numbers that are kept within bounds.",
                                "type": "object",
                                "propertyNames": {"pattern": "^/"},
                                "additionalProperties": {
                                    **closed({"min": NUMBER, "max": NUMBER}),
                                    "minProperties": 1,
                                },
                            }
                        }
                    ),
                    "events": closed(
                        {
                            "replace_text": {
                                "description": "Text that is replaced, within one event.",
                                "type": "array",
                                "items": closed(
                                    {
                                        "from": {"type": "string", "minLength": 1},
                                        "to": {"type": "string"},
                                    },
                                    "from",
                                    "to",
                                ),
                            }
                        }
                    ),
                },
                "models",
            ),
        }
    },
    "rules",
)


class Policy(exports.Policy):
    def describe(self) -> Description:
        return Description(
            name="model-rules-py",
            version="1.0.0",
            hooks=Hooks.REQUEST | Hooks.EVENTS,
            needs=Needs.REQUEST_JSON,
            settings_schema=json.dumps(SCHEMA),
        )

    def configure(self, settings: str) -> None:
        policy.rules = [policy.Rule.read(rule) for rule in json.loads(settings)["rules"]]

    def samples(self) -> list[Sample]:
        """An exchange that the gateway runs before this goes live."""
        return [
            Sample(
                name="a stream",
                method="POST",
                path="/v1/chat/completions",
                headers=[],
                body='{"model":"sample","stream":true,"messages":[]}',
                facts=[],
                response_status=200,
                response_body="",
                events=[Event(None, b'{"choices":[{"delta":{"content":"hello"}}]}')],
                expect=Expectation_Forwarded(),
            )
        ]
