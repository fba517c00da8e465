import { bigintArray, doubleArray, intArray } from '../../src/platform/pg-arrays.ts';
import { keyOf } from '../fold-table.ts';
import { type Projection, type Queryable, type RecordedEvent, tablesOf } from '../projection.ts';
import { evolveMembership, evolveRoom, type MembershipEvent, type RoomEvent } from './evolve.ts';
import { type MembershipRow, membershipTable, type RoomRow, roomTable } from './rows.ts';

type WatermarkEvent = RecordedEvent & { readonly type: 'WatermarkMoved' };
type AnyEvent = RoomEvent | MembershipEvent | WatermarkEvent;

/** The rooms of one batch with their memberships and watermarks, as they were and as they become. */
class Changes {
  readonly #rooms: Map<string, RoomRow>;
  readonly #memberships: Map<string, MembershipRow>;
  readonly #changedRooms = new Map<string, RoomRow>();
  readonly #changedMemberships = new Map<string, MembershipRow>();
  readonly #watermarks = new Map<string, WatermarkEvent>();
  /** Rooms whose memberships and watermarks go. */
  readonly #wiped = new Map<string, RoomRow>();

  constructor(rooms: Map<string, RoomRow>, memberships: Map<string, MembershipRow>) {
    this.#rooms = rooms;
    this.#memberships = memberships;
  }

  apply(event: AnyEvent): void {
    const { workspace, room } = event.data;
    const key = keyOf([workspace, room]);
    switch (event.type) {
      case 'MembershipStarted':
      case 'MembershipEnded':
      case 'MemberRolesChanged':
      case 'HistoryHidden':
        this.#member(key, event);
        break;
      case 'WatermarkMoved':
        this.#watermark(key, event);
        break;
      default: {
        const next = evolveRoom(this.#rooms.get(key) ?? null, event);
        if (next) this.#setRoom(key, next);
        if (next?.erased) this.#wipe(key, next);
      }
    }
  }

  #setRoom(key: string, row: RoomRow): void {
    this.#rooms.set(key, row);
    this.#changedRooms.set(key, row);
  }

  #wipe(key: string, row: RoomRow): void {
    this.#wiped.set(key, row);
    for (const [name, { workspace, room }] of this.#changedMemberships) {
      if (workspace === row.workspace && room === row.room) this.#changedMemberships.delete(name);
    }
    for (const [name, { data }] of this.#watermarks) {
      if (data.workspace === row.workspace && data.room === row.room) this.#watermarks.delete(name);
    }
  }

  #member(roomKey: string, event: MembershipEvent): void {
    const room = this.#rooms.get(roomKey);
    // Without a row the room's beginning was blanked before it was read: what was its membership is gone with it.
    if (!room || room.erased) return;
    const key = keyOf([event.data.workspace, event.data.room, event.data.membership]);
    const next = evolveMembership(this.#memberships.get(key) ?? null, event);
    if (!next) return;
    this.#memberships.set(key, next);
    this.#changedMemberships.set(key, next);
    const joined = event.type === 'MembershipStarted' ? 1 : event.type === 'MembershipEnded' ? -1 : 0;
    if (joined !== 0) this.#setRoom(roomKey, { ...room, participant_count: room.participant_count + joined });
  }

  #watermark(roomKey: string, event: WatermarkEvent): void {
    const room = this.#rooms.get(roomKey);
    if (!room || room.erased) return;
    const key = keyOf([event.data.workspace, event.data.room, event.data.account]);
    const known = this.#watermarks.get(key);
    if (!known || known.data.message < event.data.message) this.#watermarks.set(key, event);
  }

  async save(client: Queryable): Promise<void> {
    await roomTable.save(client, [...this.#changedRooms.values()]);
    if (this.#wiped.size > 0) await wipe(client, [...this.#wiped.values()]);
    await membershipTable.save(client, [...this.#changedMemberships.values()]);
    if (this.#watermarks.size > 0) await saveWatermarks(client, [...this.#watermarks.values()]);
  }
}

async function wipe(client: Queryable, rooms: readonly RoomRow[]): Promise<void> {
  const values = [intArray(rooms.map((row) => row.workspace)), intArray(rooms.map((row) => row.room))];
  for (const table of ['memberships', 'watermarks']) {
    await client.query({
      text: `DELETE FROM ${table} t USING unnest($1::int[], $2::int[]) AS u(workspace, room)
        WHERE t.workspace = u.workspace AND t.room = u.room`,
      values,
    });
  }
}

async function saveWatermarks(client: Queryable, moved: readonly WatermarkEvent[]): Promise<void> {
  const sorted = moved.toSorted(
    ({ data: a }, { data: b }) => a.workspace - b.workspace || a.room - b.room || a.account - b.account,
  );
  await client.query({
    name: 'watermarks-save',
    text: `INSERT INTO watermarks AS t (workspace, room, account, message, moved_at, position)
      SELECT u.workspace, u.room, u.account, u.message, to_timestamp(u.at / 1000), u.position
        FROM unnest($1::int[], $2::int[], $3::int[], $4::int[], $5::float8[], $6::int8[])
          AS u(workspace, room, account, message, at, position)
      ON CONFLICT (workspace, room, account) DO UPDATE
        SET message = excluded.message, moved_at = excluded.moved_at, position = excluded.position
        WHERE t.message < excluded.message`,
    values: [
      intArray(sorted.map(({ data }) => data.workspace)),
      intArray(sorted.map(({ data }) => data.room)),
      intArray(sorted.map(({ data }) => data.account)),
      intArray(sorted.map(({ data }) => data.message)),
      doubleArray(sorted.map(({ at }) => at)),
      bigintArray(sorted.map(({ position }) => position)),
    ],
  });
}

function keysOf(events: readonly AnyEvent[]): { rooms: number[][]; memberships: number[][] } {
  const rooms = new Map<string, number[]>();
  const memberships = new Map<string, number[]>();
  for (const { data } of events) {
    const room = [data.workspace, data.room];
    rooms.set(keyOf(room), room);
    if (!('membership' in data)) continue;
    const membership = [...room, data.membership];
    memberships.set(keyOf(membership), membership);
  }
  return { rooms: [...rooms.values()], memberships: [...memberships.values()] };
}

/** Rooms, their memberships, and up to where members have read. */
export const rooms: Projection = {
  name: 'rooms',
  version: 1,
  readableFrom: 1,
  tables: tablesOf(import.meta.url),
  async apply(client, events) {
    const about: AnyEvent[] = [];
    for (const event of events) {
      switch (event.type) {
        case 'RoomCreated':
        case 'RoomChanged':
        case 'RoomDeactivated':
        case 'RoomActivated':
        case 'RoomDeleted':
        case 'RoomErased':
        case 'MembershipStarted':
        case 'MembershipEnded':
        case 'MemberRolesChanged':
        case 'HistoryHidden':
        case 'WatermarkMoved':
          about.push(event);
      }
    }
    if (about.length === 0) return;
    const keys = keysOf(about);
    const changes = new Changes(
      await roomTable.load(client, keys.rooms),
      await membershipTable.load(client, keys.memberships),
    );
    for (const event of about) changes.apply(event);
    await changes.save(client);
  },
};
