import { deletedPeople, type ErasablePerson, messagesToErase } from '../../../projections/erasure.ts';
import type { Queryable } from '../../../projections/projection.ts';
import { event } from '../../../schemas/index.ts';
import { type ErasedEvent, type ErasureCommands, maxErasedMessages, messagesErased } from '../../commands/index.ts';
import type { Clock } from '../../platform/clock.ts';

/** What erasing accounts, devices, rooms and messages needs. Times in milliseconds. */
export interface PeopleOptions {
  readonly read: Queryable;
  readonly erasures: ErasureCommands;
  readonly clock: Clock;
  /** How long an account is looked through for what another node posted for it just as it was deleted. */
  readonly graceMs: number;
}

/** Accounts, devices and rooms of one round, of each kind. */
const maxPeople = 200;

/**
 * Appends the events "erased" of messages, a page at a time, and of accounts, devices and rooms: a room, and an account whose
 * messages go with it, once no message of theirs is left. What is to do is told by the rows alone.
 */
export class People {
  readonly #options: PeopleOptions;
  /** Accounts whose messages go too, and when each was first met (monotonic). */
  #met = new Map<string, number>();

  constructor(options: PeopleOptions) {
    this.#options = options;
  }

  /** One step, with rows that have caught up. `busy`: something was appended, and there may be more. */
  async step(): Promise<'idle' | 'waiting' | 'busy'> {
    const { read, erasures } = this.#options;
    const page = await messagesToErase(read, maxErasedMessages);
    if (page.length > 0) {
      await erasures.append(messagesErased(page));
      return 'busy';
    }
    const people = await deletedPeople(read, maxPeople);
    const erased: ErasedEvent[] = [];
    let waiting = false;
    const met = new Map<string, number>();
    for (const person of people) {
      if (await this.#isDue(person, met)) erased.push(erasedPerson(person));
      else waiting = true;
    }
    this.#met = met;
    await erasures.append(erased);
    if (erased.length > 0) return 'busy';
    return waiting ? 'waiting' : 'idle';
  }

  /** True while anything of these kinds in a workspace has to be erased. */
  async hasMore(workspace: number): Promise<boolean> {
    const { read } = this.#options;
    if ((await messagesToErase(read, 1, { workspace })).length > 0) return true;
    const people = await deletedPeople(read, maxPeople);
    return people.length >= maxPeople || people.some((person) => person.workspace === workspace);
  }

  async #isDue(person: ErasablePerson, met: Map<string, number>): Promise<boolean> {
    const { read, clock, graceMs } = this.#options;
    const { workspace, id } = person;
    if (person.kind === 'room') return (await messagesToErase(read, 1, { workspace, room: id })).length === 0;
    if (person.kind === 'device' || person.messages === 'keep') return true;
    const name = `${workspace}/${id}`;
    const since = this.#met.get(name) ?? clock.monotonicMs();
    met.set(name, since);
    if (clock.monotonicMs() - since < graceMs) return false;
    return (await messagesToErase(read, 1, { workspace, sender: id })).length === 0;
  }
}

function erasedPerson(person: ErasablePerson): ErasedEvent {
  const { workspace, id } = person;
  switch (person.kind) {
    case 'account': {
      const { accountKind: kind, openedAt, messages, devices } = person;
      return event('AccountErased', { workspace, account: id, kind, openedAt, messages, devices: [...devices] });
    }
    case 'device':
      return event('DeviceErased', { workspace, device: id, account: person.account });
    case 'room':
      return event('RoomErased', { workspace, room: id, kind: person.roomKind, createdAt: person.createdAt });
  }
}
