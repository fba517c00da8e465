import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';

/** Where a process opens its inspector when it is told to. */
const inspectorPort = 9_229;
const attempts = 100;
const pauseMs = 50;

/**
 * Makes a Node process collect its garbage, through its inspector (SIGUSR1 opens it): so that what is measured is held, and
 * not left over. For one process after another, since they share the inspector's port.
 */
export async function collectGarbage(pid: number): Promise<void> {
  process.kill(pid, 'SIGUSR1');
  const inspector = new WebSocket(await inspectorUrl());
  await new Promise((resolve, reject) => inspector.once('open', resolve).once('error', reject));
  const call = (id: number, method: string, params: object = {}) =>
    new Promise<void>((resolve) => {
      const onMessage = (data: unknown) => {
        if ((JSON.parse(String(data)) as { id?: number }).id !== id) return;
        inspector.off('message', onMessage);
        resolve();
      };
      inspector.on('message', onMessage);
      inspector.send(JSON.stringify({ id, method, params }));
    });
  await call(1, 'HeapProfiler.enable');
  await call(2, 'HeapProfiler.collectGarbage');
  await call(3, 'HeapProfiler.collectGarbage');
  const close = `process.getBuiltinModule('node:inspector').close()`;
  // The answer does not come any more.
  inspector.send(
    JSON.stringify({ id: 4, method: 'Runtime.evaluate', params: { expression: `setTimeout(() => { ${close} }, 1)` } }),
  );
  await new Promise((resolve) => inspector.once('close', resolve).once('error', resolve));
}

async function inspectorUrl(): Promise<string> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    try {
      const answer = await fetch(`http://127.0.0.1:${inspectorPort}/json`);
      const [target] = (await answer.json()) as [{ webSocketDebuggerUrl: string }];
      return target.webSocketDebuggerUrl;
    } catch {
      await sleep(pauseMs);
    }
  }
  throw new Error('the inspector did not open');
}
