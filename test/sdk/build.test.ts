import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');

/** A checkout of the SDK alone that was never built, with esbuild and nothing else installed. */
async function makeCheckout(t: Test): Promise<{ folder: string; dist: string; sdk: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-sdk-build-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const sdk = join(folder, 'src', 'sdk');
  await cp(join(root, 'src', 'sdk'), sdk, { recursive: true, filter: (path) => !/[\\/]dist$/.test(path) });
  await cp(join(root, 'package.json'), join(folder, 'package.json'));
  await mkdir(join(folder, 'node_modules'));
  for (const name of ['esbuild', '@esbuild'])
    await symlink(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  return { folder, sdk, dist: join(sdk, 'dist') };
}

/** Runs a script in the checkout, which has `buildSdk`, and parses the JSON that it prints. */
async function callBuild(folder: string, text: string): Promise<unknown> {
  const script = `import { buildSdk } from './src/sdk/build.ts'; ${text}`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script], { cwd: folder });
  return JSON.parse(stdout);
}

/** Every file below a folder: its text and when it was written. */
async function snapshot(folder: string): Promise<Map<string, { text: string; writtenAtMs: number }>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const read = async (file: string) => ({
    text: await readFile(file, 'utf8'),
    writtenAtMs: (await stat(file)).mtimeMs,
  });
  return new Map(await Promise.all(files.sort().map(async (file) => [file, await read(file)] as const)));
}

const texts = (files: Awaited<ReturnType<typeof snapshot>>) => [...files].map(([file, { text }]) => [file, text]);

t.test('run directly, it builds, also a second time, and needs no development dependency', async (t) => {
  const { folder, dist } = await makeCheckout(t);
  await run(process.execPath, ['src/sdk/build.ts'], { cwd: folder });
  const first = await snapshot(dist);
  t.ok(first.has(join(dist, '@messagejs', 'client', 'messagejs.js')));
  t.ok(first.has(join(dist, 'messagejs-client', 'index.d.mts')));
  t.ok(first.has(join(dist, '@chatapi', 'sdk', 'chatapi.js')));
  await run(process.execPath, ['src/sdk/build.ts'], { cwd: folder });
  const second = await snapshot(dist);
  t.same(texts(second), texts(first), 'the same files');
  t.notSame(second, first, 'written anew');
});

t.test('the server builds what is missing, once, and leaves it until a source changes', async (t) => {
  const { folder, dist, sdk } = await makeCheckout(t);
  const browserFile = join(dist, '@messagejs', 'client', 'messagejs.js');
  const twice = 'console.log(JSON.stringify(await Promise.all([buildSdk(), buildSdk()])));';
  const browserFiles = { 'messagejs.js': browserFile, 'chatapi.js': join(dist, '@chatapi', 'sdk', 'chatapi.js') };
  t.same(await callBuild(folder, twice), [{ browserFiles }, { browserFiles }]);
  const first = await snapshot(dist);
  await callBuild(folder, twice);
  t.same(await snapshot(dist), first, 'nothing written');

  await rm(browserFile);
  await callBuild(folder, twice);
  t.same(texts(await snapshot(dist)), texts(first), 'the missing file is back');

  const source = join(sdk, 'messagejs', 'error.ts');
  await writeFile(source, (await readFile(source, 'utf8')).replace("'MessageJSError'", "'RenamedError'"));
  await callBuild(folder, twice);
  t.match(await readFile(browserFile, 'utf8'), /RenamedError/, 'the change is in');
});

t.test('several processes can build at once', async (t) => {
  const { folder, dist } = await makeCheckout(t);
  const build = () => run(process.execPath, ['src/sdk/build.ts'], { cwd: folder });
  await Promise.all([build(), build(), build()]);
  const together = await snapshot(dist);
  t.notOk(
    [...together.keys()].some((file) => file.endsWith('.tmp')),
    'no leftovers',
  );
  await build();
  t.same(texts(await snapshot(dist)), texts(together));
});

t.test('no process of esbuild stays behind in a server', async (t) => {
  const { folder } = await makeCheckout(t);
  const script = `
    import childProcess from 'node:child_process';
    const { spawn } = childProcess;
    const children = [];
    childProcess.spawn = (...args) => {
      const child = spawn(...args);
      children.push(child);
      return child;
    };
    await buildSdk();
    console.log(JSON.stringify(children.map(({ killed }) => killed)));`;
  t.same(await callBuild(folder, script), [true]);
});

t.test("npm's prepare builds, and lets an install go on that cannot build yet", async (t) => {
  const { folder, dist } = await makeCheckout(t);
  const prepare = (...flags: string[]) => run(process.execPath, [...flags, 'src/sdk/prepare.mjs'], { cwd: folder });
  const old = await prepare('--no-strip-types');
  t.match(old.stdout, /^SDK not built: Node v\S+ does not run TypeScript\n$/);
  await t.rejects(stat(dist), { code: 'ENOENT' });
  await prepare();
  t.ok((await snapshot(dist)).has(join(dist, '@messagejs', 'client', 'messagejs.js')));
  await rm(join(folder, 'node_modules', 'esbuild'));
  const bare = await prepare();
  t.match(bare.stdout, /^SDK not built: esbuild is not installed\n$/);
});

t.test('a build that fails says so', async (t) => {
  const { folder, sdk } = await makeCheckout(t);
  await writeFile(join(sdk, 'messagejs', 'error.ts'), 'export class {');
  for (const file of ['build.ts', 'prepare.mjs']) {
    await t.rejects(run(process.execPath, [`src/sdk/${file}`], { cwd: folder }), { code: 1, stderr: /error\.ts/ });
  }
});
