import { type SenderOptions, type WebhookAnswer, WebhookSender } from './sender.ts';
import { type Proof, proofHeaders } from './signature.ts';

/** Where a webhook is posted to. Plain data; one object for as long as the webhook's settings stay. */
export interface PostTarget {
  /** Its own in this process. */
  readonly number: number;
  readonly origin: string;
  /** With its query. */
  readonly path: string;
  /** The owner's own, names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

/** One attempt. */
export interface Post {
  readonly target: PostTarget;
  readonly proof: Proof;
  readonly body: string;
  /** Posts to this target that may be under way together with it, itself included. */
  readonly most: number;
}

/**
 * Posts what was signed. Each post has a connection of its own: who calls bounds their number, per target with `most`. What is
 * posted beyond it stands in line, and begins as soon as one before it succeeded: a connection need not rest until the next
 * post is made. What stands in line when one fails, and what stood there for too long, ends as `CLOSED` without having begun:
 * whether it is still to be sent is its owner's to say.
 */
export interface Poster {
  /** Never rejects. */
  post(post: Post): Promise<WebhookAnswer>;
  /** What stands in line ends as `CLOSED`, to the last that was posted before. */
  recall(): void;
  /** Ends all connections; what is under way or in line ends as `CLOSED`. */
  close(): Promise<void>;
}

/** How an attempt ends that was cut off by us, or never begun. */
export const closedAnswer: WebhookAnswer = { status: null, error: 'CLOSED' };

/** For standing in line, after which it may be that it is not to be sent any more. */
const maxInLineMs = 1_000;

/** What is posted to one target. */
interface Lane {
  underWay: number;
  readonly line: { readonly post: Post; readonly sinceMs: number; readonly end: (how: Ended) => void }[];
}

type Ended = WebhookAnswer | Promise<WebhookAnswer>;

/** A poster in the caller's own thread. */
export class OwnPoster implements Poster {
  readonly #sender: WebhookSender;
  /** By the number of their target; those of which something is under way. */
  readonly #lanes = new Map<number, Lane>();

  constructor(options: SenderOptions) {
    this.#sender = new WebhookSender(options);
  }

  post(post: Post): Promise<WebhookAnswer> {
    const { number } = post.target;
    let lane = this.#lanes.get(number);
    if (!lane) {
      lane = { underWay: 0, line: [] };
      this.#lanes.set(number, lane);
    }
    if (lane.underWay < post.most) return this.#begin(lane, post);
    const { line } = lane;
    return new Promise((end) => line.push({ post, sinceMs: performance.now(), end }));
  }

  async #begin(lane: Lane, post: Post): Promise<WebhookAnswer> {
    lane.underWay++;
    const answer = await this.#send(post);
    lane.underWay--;
    if (answer.error !== null) sendBack(lane);
    else this.#beginNext(lane);
    if (lane.underWay === 0) this.#lanes.delete(post.target.number);
    return answer;
  }

  #beginNext(lane: Lane): void {
    const next = lane.line.shift();
    if (!next) return;
    if (performance.now() - next.sinceMs <= maxInLineMs) {
      next.end(this.#begin(lane, next.post));
      return;
    }
    next.end(closedAnswer);
    sendBack(lane);
  }

  recall(): void {
    for (const lane of this.#lanes.values()) sendBack(lane);
  }

  #send({ target: { origin, path, headers }, proof, body }: Post): Promise<WebhookAnswer> {
    return this.#sender.post({
      origin,
      path,
      // The owner's cannot take the place of ours.
      headers: {
        'user-agent': 'Parley-Webhooks',
        ...headers,
        'content-type': 'application/json',
        ...proofHeaders(proof),
      },
      body,
    });
  }

  close(): Promise<void> {
    this.recall();
    return this.#sender.close();
  }
}

/** Ends what stands in line. */
function sendBack({ line }: Lane): void {
  for (const { end } of line.splice(0)) end(closedAnswer);
}

let targets = 0;

/** The target of a webhook. `url` is one that was taken; `headers` have names in any case. */
export function postTarget(url: string, headers: Readonly<Record<string, string>>): PostTarget {
  const { origin, pathname, search } = new URL(url);
  return {
    number: ++targets,
    origin,
    path: pathname + search,
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
  };
}
