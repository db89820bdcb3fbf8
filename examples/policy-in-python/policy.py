"""Keeps numbers of a request within bounds and replaces words in streamed text, by rules
for each model: `plugins/model-rules` in small, and its settings are a part of that
plugin's.

`componentize-py` looks for the class `Session` in a module that is named after the
interface, `policy`; the interface's functions are in `app`.
"""

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any, Self

from wit_world.imports.exchange import Message
from wit_world.imports.types import (
    Decision,
    Edit_SetJson,
    Event,
    EventAction_Keep,
    EventAction_Replace,
    EventsDecision,
    Head,
    Outcome,
    Refusal,
    Target,
    Value_Boolean,
    Value_Json,
    Value_Null,
    Value_Number,
    Value_Text,
    Verdict_Next,
    Verdict_Refuse,
)


@dataclass
class Bounds:
    min: float = float("-inf")
    max: float = float("inf")


@dataclass
class Rule:
    """One rule, made ready."""

    models: list[re.Pattern[str]]
    clamp: dict[str, Bounds] = field(default_factory=dict)
    replace_text: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def read(cls, rule: dict[str, Any]) -> Self:
        """From settings that fit the schema in `app`: the gateway has checked them."""
        return cls(
            models=[glob(model) for model in rule["models"]],
            clamp={
                pointer: Bounds(**bounds)
                for pointer, bounds in rule.get("request", {}).get("clamp", {}).items()
            },
            replace_text=[
                (pair["from"], pair["to"])
                for pair in rule.get("events", {}).get("replace_text", [])
            ],
        )

    def has(self, model: str) -> bool:
        return any(pattern.fullmatch(model) for pattern in self.models)

    def clamped(self, request: Message) -> Decision:
        """The edits that keep the numbers of a request within bounds, or a refusal."""
        edits = []
        pointers = list(self.clamp)
        for pointer, value in zip(pointers, request.json_many(pointers) if pointers else []):
            if value is None or isinstance(value, Value_Null):
                continue
            number = as_number(value)
            if number is None:
                return refuse("invalid_field", f"The field `{pointer}` has to be a number.")
            bounds = self.clamp[pointer]
            within = min(max(number, bounds.min), bounds.max)
            if within != number:
                edits.append(Edit_SetJson((pointer, Value_Number(float(within)))))
        return Decision(Verdict_Next(), edits)

    def replaced(self, event: Event) -> Event:
        """The event with its text replaced; the very same if nothing was."""
        try:
            chunk = json.loads(event.data)
        except ValueError:
            return event  # It carries no document, such as `[DONE]`.
        changed = False
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        for choice in choices if isinstance(choices, list) else []:
            delta = choice.get("delta") if isinstance(choice, dict) else None
            text = delta.get("content") if isinstance(delta, dict) else None
            if not isinstance(text, str):
                continue
            for old, new in self.replace_text:
                text = text.replace(old, new)
            changed |= delta["content"] != text
            delta["content"] = text
        if not changed:
            return event
        text = json.dumps(chunk, ensure_ascii=False, separators=(",", ":"))
        return replace(event, data=text.encode(errors="replace"))


rules: list[Rule] = []


class Session:
    """One policy in one exchange."""

    def __init__(self, head: Head) -> None:
        self.model = head.model
        self.rule: Rule | None = None

    def on_request(self, request: Message) -> Decision:
        value = request.json("/model")
        model = value.value if isinstance(value, Value_Text) else self.model
        if model is not None:
            self.rule = next((rule for rule in rules if rule.has(model)), None)
        return self.rule.clamped(request) if self.rule else passed()

    def on_attempt(self, target: Target, request: Message) -> Decision:
        return passed()

    def on_response(self, status: int, response: Message) -> Decision:
        return passed()

    def on_events(self, batch: list[Event], last: bool) -> EventsDecision:
        if self.rule is None or not self.rule.replace_text:
            return EventsDecision([], [])
        actions = []
        for event in batch:
            replaced = self.rule.replaced(event)
            same = replaced is event
            actions.append(EventAction_Keep() if same else EventAction_Replace([replaced]))
        return EventsDecision(actions, [])

    def on_finish(self, outcome: Outcome) -> None:
        pass


def passed() -> Decision:
    return Decision(Verdict_Next(), [])


def refuse(code: str, message: str) -> Decision:
    return Decision(Verdict_Refuse(Refusal(400, code, message, None)), [])


def as_number(value: Value_Boolean | Value_Number | Value_Text | Value_Json) -> float | None:
    """Numbers that no float holds exactly come as JSON text."""
    if isinstance(value, Value_Number):
        return value.value
    if isinstance(value, Value_Json):
        try:
            return float(value.value)
        except ValueError:
            return None
    return None


def glob(pattern: str) -> re.Pattern[str]:
    """A name, or a glob in which `*` stands for any text."""
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
