// What a transformer gets, returns and may call, as wit/1.1.0/transformer.wit says.

export class Event {
  constructor(
    public id: string,
    public type: string,
    public timestamp: string,
    /// JSON, byte for byte as published.
    public data: string,
    public metadata: string | null,
    public tenant: string | null,
  ) {}
}

export class Description {
  constructor(public name: string, public version: string, public summary: string, public optionsSchema: string) {}
}

export class Outcome {
  error: string | null = null;
  drop: string | null = null;
  body: string = "";
  headers: string[][] = [];
  /// Absent: POST, and the webhook's own URL.
  method: string | null = null;
  url: string | null = null;

  static request(body: string, headers: string[][]): Outcome {
    const made = new Outcome();
    made.body = body;
    made.headers = headers;
    return made;
  }

  /// Nothing is sent, for this reason.
  static dropped(reason: string): Outcome {
    const made = new Outcome();
    made.drop = reason;
    return made;
  }

  /// The attempt fails, and is retried.
  static failed(error: string): Outcome {
    const made = new Outcome();
    made.error = error;
    return made;
  }
}

export const enum Level {
  Debug,
  Info,
  Warn,
  Error,
}

@external("tenterhook:transformer/host@1.1.0", "log")
declare function hostLog(level: i32, at: usize, length: usize): void;

/// Writes a line into the attempt's log.
export function log(level: Level, line: string): void {
  const bytes = String.UTF8.encode(line);
  hostLog(level, changetype<usize>(bytes), bytes.byteLength);
}

/// The string `key` of a JSON object, as it is written between its quotes: escapes stay, so it fits into other JSON as it
/// is. `null` without that key, or if it is no string.
export function jsonString(object: string, key: string): string | null {
  let at = skipSpace(object, 0);
  if (at >= object.length || object.charAt(at) != "{") return null;
  at = skipSpace(object, at + 1);
  while (at < object.length && object.charAt(at) == '"') {
    const nameEnd = stringEnd(object, at + 1);
    const name = object.substring(at + 1, nameEnd);
    at = skipSpace(object, nameEnd + 1);
    if (at >= object.length || object.charAt(at) != ":") return null;
    at = skipSpace(object, at + 1);
    if (name == key) {
      if (at >= object.length || object.charAt(at) != '"') return null;
      return object.substring(at + 1, stringEnd(object, at + 1));
    }
    at = valueEnd(object, at);
    if (at >= object.length || object.charAt(at) != ",") return null;
    at = skipSpace(object, at + 1);
  }
  return null;
}

function skipSpace(text: string, from: i32): i32 {
  let at = from;
  while (at < text.length && " \n\r\t".includes(text.charAt(at))) at++;
  return at;
}

function stringEnd(text: string, from: i32): i32 {
  let at = from;
  while (at < text.length && text.charAt(at) != '"') at += text.charAt(at) == "\\" ? 2 : 1;
  return min(at, text.length);
}

function valueEnd(text: string, from: i32): i32 {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const c = text.charAt(at);
    if (c == '"') at = stringEnd(text, at + 1);
    else if (c == "{" || c == "[") depth++;
    else if (c == "}" || c == "]") {
      if (depth == 0) return at;
      depth--;
    } else if (c == "," && depth == 0) return at;
  }
  return text.length;
}
