/**
 * Builds the client SDKs into `src/sdk/dist/<package name>`, ready for `npm pack`. Runs by itself (`node src/sdk/build.ts`,
 * npm's `prepare`) and from the server, which offers the browser build. Needs esbuild only, no development dependency:
 * the types are files of the source (`public.d.ts`) that are copied.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { chatapi } from './chatapi/packages.ts';
import { messagejs } from './messagejs/packages.ts';
import type { SdkPackage } from './package.ts';

const sdks = [messagejs, chatapi];

const sdkFolder = import.meta.dirname;
const distFolder = join(sdkFolder, 'dist');
/** Holds the hash of what the last complete build was made from. */
const stampFile = join(distFolder, '.stamp');
const rootManifestFile = join(sdkFolder, '..', '..', 'package.json');

/** The oldest engines that the packages run on: Node 18 and the browsers of its year. */
const targets = ['es2020', 'node18'];

let underWay: Promise<void> | undefined;

/**
 * Builds all SDK packages, unless the last build was made from the same sources (`force` builds in any case). Safe beside
 * other builds, in this process or others: files appear whole, and equal sources give equal files.
 *
 * @returns the absolute paths of the browser builds, by their names: `messagejs.js`, `chatapi.js`
 */
export async function buildSdk(options: { force?: boolean } = {}): Promise<{ browserFiles: Record<string, string> }> {
  const stamp = await hashOfSources();
  const files = sdks.map(({ browserFile }) => join(distFolder, browserFile));
  const built = files.every((file) => existsSync(file)) && (await readFile(stampFile, 'utf8').catch(() => undefined));
  if (options.force === true || built !== stamp) {
    underWay ??= buildAll(stamp).finally(() => {
      underWay = undefined;
    });
    await underWay;
  }
  return { browserFiles: Object.fromEntries(files.map((file) => [basename(file), file])) };
}

async function buildAll(stamp: string): Promise<void> {
  const { version } = JSON.parse(await readFile(rootManifestFile, 'utf8')) as { version: string };
  const esbuild = await import('esbuild');
  const builds = sdks.flatMap(({ folder, packages }) =>
    packages.map((each) => [join(sdkFolder, folder), each] as const),
  );
  try {
    await Promise.all(builds.map(([source, sdkPackage]) => buildPackage(esbuild, source, sdkPackage, version)));
  } finally {
    // Otherwise esbuild's own process stays with a server for as long as it runs.
    await esbuild.stop();
  }
  await writeWhole(stampFile, stamp);
}

async function buildPackage(
  esbuild: typeof import('esbuild'),
  source: string,
  sdkPackage: SdkPackage,
  version: string,
): Promise<void> {
  const files = new Map<string, string | Uint8Array>(Object.entries(sdkPackage.texts));
  for (const [target, from] of Object.entries(sdkPackage.copies)) files.set(target, await readFile(join(source, from)));
  for (const { entry, file, format, platform, minify } of sdkPackage.bundles) {
    const result = await esbuild.build({
      entryPoints: [join(source, entry)],
      bundle: true,
      write: false,
      format,
      platform,
      target: targets,
      minify: minify ?? false,
      banner: { js: `/*! ${sdkPackage.name} ${version}, MIT license */` },
      logLevel: 'silent',
    });
    files.set(file, result.outputFiles[0]!.contents);
  }
  files.set('README.md', await readFile(join(source, sdkPackage.readme)));
  files.set('LICENSE', await readFile(join(sdkFolder, 'LICENSE')));
  files.set('package.json', manifestOf(sdkPackage, version, [...files.keys()]));
  const target = join(distFolder, sdkPackage.name);
  await Promise.all([...files].map(([file, content]) => writeWhole(join(target, file), content)));
}

function manifestOf(sdkPackage: SdkPackage, version: string, files: string[]): string {
  const { name, description, dependsOn = [], manifest } = sdkPackage;
  const fields = {
    name,
    version,
    description,
    license: 'MIT',
    type: 'commonjs',
    engines: { node: '>=18' },
    publishConfig: { access: 'public' },
    ...manifest,
    files: files.sort(),
    ...(dependsOn.length > 0 && { dependencies: Object.fromEntries(dependsOn.map((needed) => [needed, version])) }),
  };
  return `${JSON.stringify(fields, null, 2)}\n`;
}

/** Writes beside the target and renames, so that nobody ever reads half a file. */
async function writeWhole(file: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const beside = `${file}.${process.pid}.tmp`;
  await writeFile(beside, content);
  await rename(beside, file);
}

/** A hash over every file that a build reads, names included, and the version that it writes. */
async function hashOfSources(): Promise<string> {
  const hash = createHash('sha256');
  const entries = await readdir(sdkFolder, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !file.startsWith(distFolder));
  for (const file of [...files.sort(), rootManifestFile]) {
    const content = await readFile(file);
    hash.update(`${file.slice(sdkFolder.length)}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

if (import.meta.main) await buildSdk({ force: true });
