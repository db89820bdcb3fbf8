// Does what the header `x-do` says, and reports in `x-seen`: what a policy in JavaScript
// can do, and what becomes of it where it goes wrong.

const encoder = new TextEncoder();
const decoder = new TextDecoder();
let configured = "";

const deeds = {
  greet: () => configured,
  write() {
    console.log("to standard output");
    console.error("to standard error");
    return "written";
  },
  time: () => String(Date.now()),
  random: () => `${Math.random()} ${crypto.randomUUID()}`,
  throw() {
    throw new Error("thrown on purpose");
  },
  loop() {
    for (;;);
  },
  memory() {
    const all = [];
    for (;;) all.push(new Uint8Array(1 << 20).fill(1));
  },
  recursion() {
    const deeper = (n) => 1 + deeper(n + 1);
    try {
      return String(deeper(0));
    } catch (error) {
      return error.constructor.name;
    }
  },
  nested() {
    const text = "[".repeat(5000) + "]".repeat(5000);
    try {
      return JSON.stringify(JSON.parse(text)) === text ? "parsed" : "changed";
    } catch (error) {
      return error.constructor.name;
    }
  },
  async wait() {
    await new Promise((done) => setTimeout(done, 1));
    return "waited";
  },
};

class Session {
  async onRequest(request) {
    const deed = deeds[decoder.decode(request.header("x-do"))] ?? deeds.greet;
    const value = encoder.encode(await deed());
    return { verdict: { tag: "next" }, edits: [{ tag: "set-header", val: { name: "x-seen", value } }] };
  }
  onAttempt() {}
  onResponse() {}
  onEvents() {}
  onFinish() {}
}

export const policy = {
  describe: () => ({ name: "probe-js", version: "1.0.0", hooks: { request: true }, needs: {}, settingsSchema: "{}" }),
  configure(settings) {
    const { greeting, fails } = JSON.parse(settings);
    // The contract's errors: what is thrown, where it is a list of texts.
    if (fails) throw [`/fails: ${fails}`];
    configured = greeting;
  },
  samples: () => [],
  Session,
};
