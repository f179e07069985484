// @NAME@: a Tenterhook transformer. Edit `transform`; `describe` and `check` say what its options are.
import { Description, Event, Level, Outcome, jsonString, log } from "./interface";

export function describe(): Description {
  return new Description(
    "@NAME@",
    "0.1.0",
    "Greets every event",
    '{"type":"object","additionalProperties":false,"properties":{"greeting":{"type":"string","minLength":1,' +
      '"default":"Hello","description":"What the text begins with"}}}',
  );
}

// Called when a configuration is loaded. An error is shown to the person who wrote the options; `null` says they are good.
export function check(options: string): string | null {
  return jsonString(options, "greeting") == "" ? "option `greeting` is empty" : null;
}

// Called for each delivery: one event, or several of a webhook with `batch` (oldest first).
export function transform(events: Event[], options: string): Outcome {
  const event = events[0];
  if (event.type.startsWith("test.")) return Outcome.dropped("tests are not greeted");
  log(Level.Debug, "greeting " + event.id);
  let greeting = jsonString(options, "greeting");
  if (greeting === null) greeting = "Hello";
  let name = jsonString(event.data, "name");
  if (name === null) name = "world";
  return Outcome.request(`{"text":"${greeting}, ${name}","type":"${event.type}"}`, [["x-greeter", "1"]]);
}
