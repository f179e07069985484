// @NAME@: a Tenterhook transformer. Edit `transform`; `describe` and `check` say what its options are. All three must be
// there. What they throw is the error: of the configuration in `check`, of the attempt in `transform`, which is retried.

export function describe() {
  return {
    name: "@NAME@",
    version: "0.1.0",
    summary: "Greets every event",
    optionsSchema: JSON.stringify({
      type: "object",
      additionalProperties: false,
      properties: {
        greeting: { type: "string", minLength: 1, default: "Hello", description: "What the text begins with" },
      },
    }),
  };
}

// Called when a configuration is loaded. What is thrown is shown to the person who wrote it.
export function check(text) {
  const options = JSON.parse(text);
  for (const name of Object.keys(options)) {
    if (name !== "greeting") throw `unknown option \`${name}\`; there is: greeting`;
  }
  if ("greeting" in options && (typeof options.greeting !== "string" || options.greeting === "")) {
    throw "option `greeting` must be a text, and not an empty one";
  }
}

// Called for each delivery: one event, or several of a webhook with `batch` (oldest first).
export function transform(events, text) {
  const { greeting = "Hello" } = JSON.parse(text);
  const event = events[0];
  if (event.type.startsWith("test.")) return { tag: "drop", val: "tests are not greeted" };
  const data = JSON.parse(event.data);
  console.debug(`greeting ${event.id}`);
  return {
    tag: "request",
    val: {
      // A text is cheaper than bytes: { tag: "bytes", val: new Uint8Array([…]) }
      body: { tag: "text", val: JSON.stringify({ text: `${greeting}, ${data?.name ?? "world"}`, type: event.type }) },
      headers: [["x-greeter", "1"]],
      method: undefined, // POST
      url: undefined, // the webhook's own
    },
  };
}
