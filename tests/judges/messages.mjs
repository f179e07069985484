// Judges messages by npm's libraries: @slack/types and discord-api-types with tsc, @discordjs/builders, cloudevents,
// adaptivecards. Input and output as messages.py.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const require = createRequire(join(process.env.JUDGES, "package.json"));

/** Types hold: a file that says so is compiled. Many at once: a compiler starts slowly. */
function typecheck(declarations) {
  const dir = mkdtempSync(join(tmpdir(), "tenterhook-judges-"));
  try {
    symlinkSync(join(process.env.JUDGES, "node_modules"), join(dir, "node_modules"));
    const file = join(dir, "messages.ts");
    writeFileSync(
      file,
      'import type { KnownBlock, MessageAttachment } from "@slack/types";\n' +
        'import type { RESTPostAPIWebhookWithTokenJSONBody } from "discord-api-types/v10";\n' +
        "interface SlackMessage { channel?: string; username?: string; icon_emoji?: string; icon_url?: string; text: string; " +
        "blocks?: KnownBlock[]; attachments?: MessageAttachment[] }\n" +
        declarations.map(({ type, body }, n) => `export const message${n}: ${type} = ${body};\n`).join(""),
    );
    const tsc = join(process.env.JUDGES, "node_modules/.bin/tsc");
    const options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--moduleResolution", "nodenext"];
    execFileSync(tsc, [...options, "--types", "", file], { cwd: dir, encoding: "utf8", stdio: "pipe" });
    return null;
  } catch (error) {
    return (error.stdout || error.message).slice(0, 4000);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function discord(body) {
  const { EmbedBuilder } = require("@discordjs/builders");
  for (const embed of JSON.parse(body).embeds) {
    // The setters are what validates; the constructor takes anything.
    const builder = new EmbedBuilder().setTitle(embed.title).setColor(embed.color).setFooter(embed.footer).setTimestamp(new Date(embed.timestamp));
    if (embed.url) builder.setURL(embed.url);
    if (embed.description) builder.setDescription(embed.description);
    if (embed.fields) builder.setFields(embed.fields);
    builder.toJSON();
  }
  return ["@discordjs/builders"];
}

function cloudevents(headers, body) {
  const { HTTP, CloudEvent } = require("cloudevents");
  const message = { headers, body };
  if (!HTTP.isEvent(message)) throw new Error("not recognised as a CloudEvent");
  for (const event of [HTTP.toEvent(message)].flat()) new CloudEvent(event).validate();
  return ["cloudevents"];
}

function teams(body) {
  const { AdaptiveCard, SerializationContext } = require("adaptivecards/dist/adaptivecards.js");
  for (const attachment of JSON.parse(body).attachments) {
    const [card, context] = [new AdaptiveCard(), new SerializationContext()];
    card.parse(attachment.content, context);
    const said = [...Array(context.eventCount).keys()].map((at) => context.getEventAt(at).message);
    said.push(...card.validateProperties().validationEvents.map((event) => event.message));
    if (said.length > 0) throw new Error(said.join("; "));
    if (card.getItemCount() !== attachment.content.body.length) throw new Error("an element was left out");
  }
  return ["adaptivecards"];
}

const asked = [];
for await (const line of createInterface({ input: process.stdin })) asked.push(JSON.parse(line));
const TYPES = { slack: "SlackMessage", discord: "RESTPostAPIWebhookWithTokenJSONBody" };
const typed = asked.filter(({ kind }) => kind in TYPES).map(({ kind, body }) => ({ type: TYPES[kind], body }));
const wrong = typed.length > 0 ? typecheck(typed) : null;
for (const { kind, case: name, headers, body } of asked) {
  const verdict = { kind, case: name, ok: true, judges: [], error: null };
  try {
    if (kind in TYPES) {
      if (wrong) throw new Error(`tsc: ${wrong}`);
      verdict.judges.push(kind === "slack" ? "@slack/types" : "discord-api-types");
    }
    if (kind === "discord") verdict.judges.push(...discord(body));
    if (kind === "cloudevents") verdict.judges.push(...cloudevents(headers, body));
    if (kind === "teams") verdict.judges.push(...teams(body));
  } catch (error) {
    Object.assign(verdict, { ok: false, error: `${error.name}: ${error.message}` });
  }
  console.log(JSON.stringify(verdict));
}
