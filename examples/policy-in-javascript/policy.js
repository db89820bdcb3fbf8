// Keeps numbers of a request within bounds and replaces words in streamed text, by rules
// for each model: `plugins/model-rules` in small, and its settings are a part of that
// plugin's.
//
// The gateway checks the settings by the schema below before `configure` sees them. What
// `configure` leaves in this module is in every instance from then on.

/**
 * @typedef {{ min?: number, max?: number }} Bounds
 * @typedef {{ from: string, to: string }} Replacement
 * @typedef {{
 *   models: string[],
 *   request?: { clamp?: Record<string, Bounds> },
 *   events?: { replace_text?: Replacement[] },
 * }} Rule
 */

const bounds = { type: "number" };
const closed = (properties, required = []) => ({
  type: "object",
  additionalProperties: false,
  properties,
  required,
});
const schema = closed(
  {
    rules: {
      description: "The first that has the model is applied, and no other.",
      type: "array",
      items: closed(
        {
          models: {
            description: "Names, or globs in which `*` stands for any text.",
            type: "array",
            minItems: 1,
            items: { type: "string" },
          },
          request: closed({
            clamp: {
              description: "By JSON pointer: numbers that are kept within bounds.",
              type: "object",
              propertyNames: { pattern: "^/" },
              additionalProperties: { ...closed({ min: bounds, max: bounds }), minProperties: 1 },
            },
          }),
          events: closed({
            replace_text: {
              description: "Text that is replaced, within one event.",
              type: "array",
              items: closed({ from: { type: "string", minLength: 1 }, to: { type: "string" } }, ["from", "to"]),
            },
          }),
        },
        ["models"],
      ),
    },
  },
  ["rules"],
);

/** One rule, made ready. */
class ModelRule {
  /** @param {Rule} rule */
  constructor({ models, request = {}, events = {} }) {
    this.models = models.map(glob);
    this.pointers = Object.keys(request.clamp ?? {});
    this.bounds = Object.values(request.clamp ?? {});
    this.replacements = events.replace_text ?? [];
  }

  has(model) {
    return this.models.some((fits) => fits(model));
  }

  /** The edits that keep these numbers of a request within bounds, or a refusal. */
  clamp(fields) {
    const edits = [];
    for (let at = 0; at < this.pointers.length; at++) {
      const value = fields[asked.indexOf(this.pointers[at])];
      if (value == null || value.tag === "null") continue;
      const number = value.tag === "json" ? Number(value.val) : value.val;
      if (typeof number !== "number" || Number.isNaN(number)) {
        return refuse("invalid_field", `The field \`${this.pointers[at]}\` has to be a number.`);
      }
      const { min = -Infinity, max = Infinity } = this.bounds[at];
      if (number < min || number > max) {
        const val = { tag: "number", val: number < min ? min : max };
        edits.push({ tag: "set-json", val: [this.pointers[at], val] });
      }
    }
    return { verdict: { tag: "next" }, edits };
  }

  /** The event with its text replaced; the very same if nothing was. */
  replace(event) {
    const chunk = parse(event.data);
    let changed = false;
    for (const choice of Array.isArray(chunk?.choices) ? chunk.choices : []) {
      const text = choice?.delta?.content;
      if (typeof text !== "string") continue;
      const replaced = this.replacements.reduce((sofar, { from, to }) => sofar.replaceAll(from, () => to), text);
      changed ||= replaced !== text;
      choice.delta.content = replaced;
    }
    return changed ? { ...event, data: encoder.encode(JSON.stringify(chunk)) } : event;
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The document that an event carries; nothing, if it carries none: such as `[DONE]`. */
function parse(data) {
  try {
    return JSON.parse(decoder.decode(data));
  } catch {
    return undefined;
  }
}

/** Whether a text is this name, or fits this glob, in which `*` stands for any text. */
function glob(pattern) {
  const [first, ...rest] = pattern.split("*");
  if (rest.length === 0) return (text) => text === first;
  const last = rest.pop();
  return (text) => {
    if (!text.startsWith(first)) return false;
    let at = first.length;
    for (const part of rest) {
      const found = text.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return text.length >= at + last.length && text.endsWith(last);
  };
}

const pass = () => ({ verdict: { tag: "next" }, edits: [] });
const refuse = (code, message) => ({
  verdict: { tag: "refuse", val: { status: 400, code, message } },
  edits: [],
});

/** @type {ModelRule[]} */
let rules = [];
/**
 * What is read of a request, at once: a call of the host costs more than what it brings.
 * @type {string[]}
 */
let asked = [];

/** One policy in one exchange. */
class Session {
  constructor(head) {
    this.model = head.model;
    this.rule = undefined;
  }

  onRequest(request) {
    const fields = request.jsonMany(asked);
    const model = fields[0]?.tag === "text" ? fields[0].val : this.model;
    this.rule = model == null ? undefined : rules.find((rule) => rule.has(model));
    return this.rule?.clamp(fields) ?? pass();
  }

  onAttempt() {
    return pass();
  }

  onResponse() {
    return pass();
  }

  onEvents(batch) {
    const { rule } = this;
    if (!rule || rule.replacements.length === 0) return { actions: [], append: [] };
    const actions = batch.map((event) => {
      const replaced = rule.replace(event);
      return replaced === event ? { tag: "keep" } : { tag: "replace", val: [replaced] };
    });
    return { actions, append: [] };
  }

  onFinish() {}
}

/** An exchange that the gateway runs before this goes live. */
const sample = {
  name: "a stream",
  method: "POST",
  path: "/v1/chat/completions",
  headers: [],
  body: '{"model":"sample","stream":true,"messages":[]}',
  facts: [],
  responseStatus: 200,
  responseBody: "",
  events: [{ data: encoder.encode('{"choices":[{"delta":{"content":"hello"}}]}') }],
  expect: { tag: "forwarded" },
};

export const policy = {
  describe: () => ({
    name: "model-rules-js",
    version: "1.0.0",
    hooks: { request: true, events: true },
    needs: { requestJson: true },
    settingsSchema: JSON.stringify(schema),
  }),
  configure(settings) {
    rules = JSON.parse(settings).rules.map((rule) => new ModelRule(rule));
    asked = [...new Set(["/model", ...rules.flatMap((rule) => rule.pointers)])];
  },
  samples: () => [sample],
  Session,
};
