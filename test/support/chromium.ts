/**
 * Real headless Chromium for browser tests. Where the machine has none, such tests are skipped with one line; on a build
 * machine (`CI=true`) they fail instead, so that nothing goes untested there.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--no-proxy-server',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** The path of the first Chromium on PATH; undefined when there is none. */
export function findChromium(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find(isExecutable);
}

/** Options for a tap test that needs Chromium: skipped where there is none, unless `CI=true`. */
export function needsChromium(): { skip: string | false } {
  const isMissing = findChromium() === undefined && process.env.CI !== 'true';
  return { skip: isMissing && 'no Chromium on PATH' };
}

/**
 * Starts a Chromium of its own, with an empty profile. Whoever calls closes it.
 *
 * @param moreArgs command line switches beside the usual ones
 * @throws Error when there is no Chromium on PATH
 */
export async function launchChromium(moreArgs: readonly string[] = []): Promise<Browser> {
  const executablePath = findChromium();
  if (executablePath === undefined) throw new Error(`no Chromium on PATH (looked for ${names.join(', ')})`);
  return await chromium.launch({ executablePath, headless: true, args: [...args, ...moreArgs] });
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
