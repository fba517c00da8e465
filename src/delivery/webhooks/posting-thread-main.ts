/** What the thread of `posting-thread.ts` runs. */
import { parentPort, workerData } from 'node:worker_threads';
import { outboundGuard } from '../../platform/outbound-guard.ts';
import { OwnPoster, type PostTarget } from './poster.ts';
import {
  answerWidth,
  type FromPostingThread,
  maxTogether,
  type PostFields,
  type PostingThreadOptions,
  postWidth,
  type ToPostingThread,
} from './posting-thread.ts';

const port = parentPort;
if (!port) throw new Error('this module is for a thread');
const tell = (message: FromPostingThread) => port.postMessage(message);

const { allowCidrs, proxy, attemptTimeoutMs } = workerData as PostingThreadOptions;
const guard = outboundGuard({ allowCidrs, ...(proxy !== null && { proxy }) });
const poster = new OwnPoster({ guard, attemptTimeoutMs });
let answers: (number | string | null)[] = [];

port.on('message', (message: ToPostingThread) => {
  if ('close' in message) {
    void poster.close().then(() => setImmediate(() => tell({ closed: true })));
    return;
  }
  if ('recall' in message) {
    poster.recall();
    return;
  }
  const { targets, posts } = message;
  for (let at = 0; at < posts.length; at += postWidth) {
    const [number, place, id, timestamp, own, theirs, body, most] = posts.slice(at, at + postWidth) as PostFields;
    const target = targets[place] as PostTarget;
    void poster.post({ target, proof: { id, timestamp, own, theirs }, body, most }).then(({ status, error }) => {
      const size = answers.push(number, status, error);
      // Those that end together are told of together.
      if (size === answerWidth) queueMicrotask(flush);
      else if (size === maxTogether * answerWidth) flush();
    });
  }
});

function flush(): void {
  if (answers.length === 0) return;
  tell({ answers });
  answers = [];
}
