// A Chromium of its own for one run: nothing of the user's, nothing asked of anybody but the server under test.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--hide-scrollbars",
];

export async function openBrowser(options = {}) {
  const directory = mkdtempSync(join(tmpdir(), "tenterhook-ui-"));
  const context = await chromium.launchPersistentContext(directory, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    // The flag above is the new headless mode; the library's own would be another binary.
    headless: false,
    args: FLAGS,
    viewport: { width: 1360, height: 900 },
    timezoneId: "UTC",
    locale: "en-GB",
    ...options,
  });
  const close = async () => {
    await context.close();
    rmSync(directory, { recursive: true, force: true });
  };
  return { context, close };
}

/** What a page complains about that is not an answer of the server which the page shows. */
export function listen(page, complaints) {
  page.on("pageerror", (error) => complaints.push(`error in the page: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    if (message.type() === "error" && !text.startsWith("Failed to load resource")) complaints.push(text);
  });
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(process.env.BASE) && !url.startsWith("data:") && !url.startsWith("about:")) complaints.push(`asked elsewhere: ${url}`);
  });
}
