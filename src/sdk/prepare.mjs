/**
 * npm's `prepare`: builds the SDK during an install. Plain JavaScript, because npm also runs it where the build cannot run yet
 * (a Node that cannot run TypeScript, or dependencies that are not installed, as in `npm install --package-lock-only`). Then it
 * says so and lets the install go on: the server builds the SDK when it starts. A build that runs and fails does fail here.
 *
 * The server is called once too, so that its first start finds compiled what it keeps for every next one (`main.ts`).
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const obstacle = await findObstacle();
if (obstacle === undefined) {
  const { buildSdk } = await import('./build.ts');
  await buildSdk({ force: true });
  spawnSync(process.execPath, [fileURLToPath(new URL('../main.ts', import.meta.url)), 'help'], { stdio: 'ignore' });
} else {
  console.log(`SDK not built: ${obstacle}`);
}

async function findObstacle() {
  if (!process.features.typescript) return `Node ${process.version} does not run TypeScript`;
  return await import('esbuild').then(
    () => undefined,
    () => 'esbuild is not installed',
  );
}
