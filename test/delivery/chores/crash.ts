import type { World } from '../world.ts';

/**
 * Erases with a delivery that stands still for ever before the stream of that number, as a process does that was killed
 * there, and then with another, which is left at work.
 */
export async function crashAt(world: World, failsAt: number): Promise<void> {
  let erasures = 0;
  const { promise: reached, resolve } = Promise.withResolvers<void>();
  const first = world.node.deliver({
    erase: async (streams) => {
      const left = Math.max(0, failsAt - 1 - erasures);
      erasures += Math.min(left, streams.length);
      await world.node.log.erase(streams.slice(0, left));
      if (streams.length <= left) return;
      resolve();
      throw new Error('the process ends here');
    },
  });
  await reached;
  await first.stop();
  const second = await world.openNode();
  second.deliver();
}
