import { BoundedMap } from '../../platform/bounded-map.ts';
import { type SenderOptions, type WebhookAnswer, WebhookSender } from './sender.ts';
import { type Signer, signer } from './signature.ts';

/** Where a webhook is posted to, and with what. Plain data; one object for as long as the webhook's settings stay. */
export interface PostTarget {
  readonly origin: string;
  /** With its query. */
  readonly path: string;
  /** The owner's own, names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly secret: string;
}

/** One attempt, to be signed. */
export interface Post {
  readonly target: PostTarget;
  /** Of the event: what is signed with the body. */
  readonly id: string;
  /** Seconds since the epoch. */
  readonly atS: number;
  readonly body: string;
}

/** Signs and posts. Each post has a connection of its own: who calls bounds their number. */
export interface Poster {
  /** Never rejects. */
  post(post: Post): Promise<WebhookAnswer>;
  /** Ends all connections; what is under way ends as `CLOSED`. */
  close(): Promise<void>;
}

/** Secrets whose keys are kept ready. */
const maxSigners = 1_000;

/** A poster in the caller's own thread. */
export class OwnPoster implements Poster {
  readonly #sender: WebhookSender;
  readonly #signers = new BoundedMap<string, Signer>(maxSigners);

  constructor(options: SenderOptions) {
    this.#sender = new WebhookSender(options);
  }

  post({ target: { origin, path, headers, secret }, id, atS, body: text }: Post): Promise<WebhookAnswer> {
    const body = Buffer.from(text, 'utf8');
    return this.#sender.post({
      origin,
      path,
      // The owner's cannot take the place of ours.
      headers: {
        'user-agent': 'Parley-Webhooks',
        ...headers,
        'content-type': 'application/json',
        ...this.#signer(secret).headers(id, atS, body),
      },
      body,
    });
  }

  #signer(secret: string): Signer {
    let ready = this.#signers.get(secret);
    if (!ready) {
      ready = signer(secret);
      this.#signers.set(secret, ready);
    }
    return ready;
  }

  close(): Promise<void> {
    return this.#sender.close();
  }
}

/** The target of a webhook. `url` is one that was taken; `headers` have names in any case. */
export function postTarget(url: string, headers: Readonly<Record<string, string>>, secret: string): PostTarget {
  const { origin, pathname, search } = new URL(url);
  return {
    origin,
    path: pathname + search,
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
    secret,
  };
}
