/** What a history of people who talk knows of them. Positions count its events from 1, times are milliseconds since the epoch. */
import type { EventData } from '../../schemas/index.ts';

/** A membership as the history knows it; positions count events from 1. */
export interface KnownMembership {
  readonly account: number;
  readonly membership: number;
  readonly historyFrom: number;
  readonly from: bigint;
  hiddenUntil: number;
  to: bigint | null;
}

/** A room as the history knows it. */
export interface KnownRoom {
  readonly workspace: number;
  readonly room: number;
  readonly kind: EventData<'RoomCreated'>['kind'];
  readonly createdAt: number;
  readonly isPublic: boolean;
  readonly memberships: KnownMembership[];
  readonly watermarks: Map<number, { message: number; position: bigint }>;
  deleted: boolean;
  deletedPosition: bigint | null;
  inactiveAt: number | null;
  erasing: boolean;
  erased: boolean;
}

/** A message as the history knows it. */
export interface KnownMessage {
  readonly workspace: number;
  readonly room: KnownRoom;
  readonly message: number;
  readonly data: EventData<'MessagePosted'>;
  readonly postedAt: number;
  readonly position: bigint;
  text: string;
  edits: number;
  editedAt: number | null;
  editedPosition: bigint | null;
  deleted: { by: number; at: number; position: bigint | null } | null;
  erased: boolean;
  readonly hidings: Map<number, bigint>;
  readonly receipts: Map<number, { delivered: boolean; read: boolean }>;
}

/** An account as the history knows it. */
export interface KnownAccount {
  readonly workspace: number;
  readonly account: number;
  readonly openedAt: number;
  readonly devices: KnownDevice[];
  /** What it was called from each revision on. */
  readonly names: { revision: number; name: string | null }[];
  displayName: string | null;
  deleted: 'keep' | 'erase' | null;
  erased: boolean;
}

/** A device as the history knows it. */
export interface KnownDevice {
  readonly device: number;
  deleted: boolean;
  erased: boolean;
}
