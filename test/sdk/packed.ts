/** Packages as an integrator gets them: built, packed, and installed from the tarballs into a folder of their own. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import { buildSdk } from '../../src/sdk/build.ts';

const run = promisify(execFile);

export interface Installed {
  /** The folder with the `node_modules` that the packages are in. */
  readonly folder: string;
  /** What `npm pack` put into each tarball, by package name. */
  readonly contents: Readonly<Record<string, readonly string[]>>;
  /** Runs a script in that folder under this Node and parses the JSON that it prints. */
  readonly runScript: (file: string, text: string, args?: readonly string[]) => Promise<unknown>;
}

const dist = join(import.meta.dirname, '..', '..', 'src', 'sdk', 'dist');

/** Needs no registry: what one of them depends on is among them. Removed at the test's end. */
export async function installPacked(t: Test, names: readonly string[]): Promise<Installed> {
  await buildSdk();
  const folder = await mkdtemp(join(tmpdir(), 'parley-sdk-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'consumer', version: '1.0.0', private: true }));
  const packed = await Promise.all(names.map((name, i) => pack(join(dist, name), join(folder, `packed-${i}`))));
  await npm(folder, ['install', '--offline', ...packed.map(({ tarball }) => tarball)]);
  return {
    folder,
    contents: Object.fromEntries(packed.map(({ name, files }) => [name, files])),
    runScript: async (file, text, args = []) => {
      await writeFile(join(folder, file), text);
      const result = await runOutside(folder, process.execPath, [file, ...args]);
      return JSON.parse(result.stdout);
    },
  };
}

/** Each tarball has a folder of its own: npm gives `@a/b` and `a-b` the same file name. */
async function pack(source: string, target: string): Promise<{ name: string; files: string[]; tarball: string }> {
  await mkdir(target);
  const { stdout } = await npm(source, ['pack', '--json', '--pack-destination', target]);
  const [packed] = JSON.parse(stdout) as [{ name: string; filename: string; files: { path: string }[] }];
  return {
    name: packed.name,
    files: packed.files.map(({ path }) => path).sort(),
    tarball: join(target, packed.filename),
  };
}

/** How consumers find modules, and how their files end. */
export const resolutions = [
  { module: 'nodenext', moduleResolution: 'nodenext', extensions: ['mts', 'cts'] },
  { module: 'preserve', moduleResolution: 'bundler', extensions: ['ts'] },
] as const;

/** Runs the repository's TypeScript on consumers in `folder`: its complaints, an empty string when there are none. */
export async function typeCheck(
  folder: string,
  { module, moduleResolution, extensions }: (typeof resolutions)[number],
  consumers: readonly { readonly name: string; readonly text: string }[],
): Promise<string> {
  const files = extensions.flatMap((extension) =>
    consumers.map(({ name, text }) => ({ file: `${name}.${extension}`, text })),
  );
  for (const { file, text } of files) await writeFile(join(folder, file), text);
  const compilerOptions = {
    module,
    moduleResolution,
    target: 'es2022',
    lib: ['es2022'],
    types: [],
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    noEmit: true,
  };
  const projectFile = `tsconfig.${moduleResolution}.json`;
  await writeFile(join(folder, projectFile), JSON.stringify({ compilerOptions, files: files.map(({ file }) => file) }));
  const tsc = join(import.meta.dirname, '..', '..', 'node_modules', 'typescript', 'bin', 'tsc');
  return await runOutside(folder, process.execPath, [tsc, '-p', projectFile]).then(
    () => '',
    (error: { stdout?: string; message: string }) => error.stdout || error.message,
  );
}

async function npm(cwd: string, args: readonly string[]): Promise<{ stdout: string }> {
  return await runOutside(cwd, 'npm', [...args, '--no-audit', '--no-fund', '--no-update-notifier']);
}

/**
 * Runs a program as a stranger's shell would: without the settings that npm leaves in the environment for its children, and
 * without the module hooks that tap adds to every child's NODE_OPTIONS at the moment it is started (hence `env -u`).
 */
async function runOutside(cwd: string, program: string, args: readonly string[]): Promise<{ stdout: string }> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));
  return await run('env', ['-u', 'NODE_OPTIONS', program, ...args], { cwd, env });
}
