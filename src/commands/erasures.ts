import { randomUUID } from 'node:crypto';
import { type DomainEvent, type EventData, event } from '../../schemas/index.ts';
import type { Aggregate } from '../domain/aggregate.ts';
import { connector } from '../domain/connector.ts';
import { DomainError } from '../domain/errors.ts';
import { key } from '../domain/key.ts';
import { template } from '../domain/template.ts';
import { workspace } from '../domain/workspace.ts';
import { NO_STREAM } from '../log/log.ts';
import { type CommandDoor, metaOf } from './door.ts';
import { SERVICE_ACCOUNT, streams } from './streams.ts';

/** An event "erased": it is appended before what it names is erased, and stays. */
export type ErasedEvent = DomainEvent<
  'WorkspaceErased' | 'KeyErased' | 'ConnectorErased' | 'TemplateErased' | 'DispatchesErased'
>;

/** One dispatch to erase, as the event "erased" keeps it. */
export type ErasedDispatch = EventData<'DispatchesErased'>['items'][number];

/** Dispatches of one event "erased" at most: about half of what an event may hold. */
export const maxErasedDispatches = 500;

/** The streams whose content an event "erased" ends; none for any other event. */
export function erasedStreams(happened: DomainEvent): string[] {
  switch (happened.type) {
    case 'WorkspaceErased':
      return [streams.workspace(happened.data.workspace)];
    case 'KeyErased':
      return [streams.key(happened.data.workspace, happened.data.key)];
    case 'ConnectorErased':
      return [streams.connector(happened.data.workspace, happened.data.connector)];
    case 'TemplateErased':
      return [streams.template(happened.data.workspace, happened.data.template)];
    case 'DispatchesErased':
      return happened.data.items.map((item) => streams.dispatch(item.dispatch));
    default:
      return [];
  }
}

/** The stream that an event "erased" stands in. */
const erasure: Aggregate<{ readonly erased: boolean }, never> = {
  initial: { erased: false },
  decide: () => [],
  evolve: () => ({ erased: true }),
};

/** The first step of every erasure (design section 4). The second, erasing the streams, is the log's. */
export class ErasureCommands {
  readonly #door: CommandDoor;

  constructor({ door }: { readonly door: CommandDoor }) {
    this.#door = door;
  }

  /** Where a workspace stands; one that nobody knows counts as living, so that nothing in it is erased. Throws `unavailable`. */
  async standingOf(workspaceId: number): Promise<'lives' | 'deleted' | 'erased'> {
    const stream = streams.workspace(workspaceId);
    const { exists, deleted } = await this.#door.load(workspace, stream);
    if (exists) return 'lives';
    if (deleted) return 'deleted';
    return (await this.#door.load(erasure, streams.erasure(stream))).erased ? 'erased' : 'lives';
  }

  /**
   * Appends events "erased", each to a stream of its own that stays; one that stands there already, from before a crash, is
   * left as it is. Nothing that lives is erased: throws Error when what an event names was not deleted, alone or with its
   * workspace. Throws `unavailable` when not all are known to be stored: the same again finds out.
   */
  async append(erased: readonly ErasedEvent[]): Promise<void> {
    if (erased.length === 0) return;
    for (const happened of erased) {
      if (!(await this.#isDead(happened))) throw new Error(`${happened.type} of what was not deleted`);
    }
    const at = this.#door.clock.now();
    const outcomes = await this.#door.appendAll(
      erased.map((happened) => ({
        commitId: randomUUID(),
        stream: streams.erasure(erasedStreams(happened)[0] as string),
        expected: NO_STREAM,
        events: [happened],
        at,
        meta: metaOf({ workspace: happened.data.workspace, account: SERVICE_ACCOUNT }),
      })),
    );
    if (outcomes.some(({ outcome }) => outcome === 'unknown')) throw new DomainError('unavailable');
  }

  /**
   * The event "erased" of a deleted workspace, null when it was erased already: then nothing is known of it any more.
   * Throws `unavailable`.
   */
  async ofWorkspace(workspaceId: number): Promise<ErasedEvent | null> {
    const state = await this.#door.load(workspace, streams.workspace(workspaceId));
    if (!state.deleted) return null;
    const { kind, owner, createdAt } = state;
    return event('WorkspaceErased', { workspace: workspaceId, kind, owner, createdAt });
  }

  /** What a stream says is gone from memory too. */
  forget(stream: string): void {
    this.#door.states.forget(stream);
  }

  async #isDead(happened: ErasedEvent): Promise<boolean> {
    const door = this.#door;
    const { data } = happened;
    if ((await this.standingOf(data.workspace)) !== 'lives') return true;
    switch (happened.type) {
      case 'KeyErased':
        return !(await door.load(key, streams.key(data.workspace, happened.data.key))).exists;
      case 'ConnectorErased':
        return !(await door.load(connector, streams.connector(data.workspace, happened.data.connector))).exists;
      case 'TemplateErased':
        return !(await door.load(template, streams.template(data.workspace, happened.data.template))).exists;
      case 'WorkspaceErased':
      case 'DispatchesErased':
        return false;
    }
  }
}
