/**
 * Random histories of people who talk: accounts, devices, rooms, memberships, messages, receipts and watermarks, as the domain's
 * rules allow them, deleted and erased. A seed gives the same history again.
 */
import { type DomainEvent, type EventData, event, type RecordedEvent } from '../../schemas/index.ts';
import { streams } from '../../src/commands/streams.ts';
import type { KnownAccount, KnownMessage, KnownRoom } from './chat-known.ts';
import { type Random, randomOf, recordedFrom, type Step } from './history.ts';

export type { KnownAccount, KnownMessage, KnownRoom } from './chat-known.ts';

type RoomKind = EventData<'RoomCreated'>['kind'];
type Body = EventData<'MessagePosted'>['body'];

const workspaces = [2, 7];
const kinds: RoomKind[] = ['private', 'group', 'channel', 'support'];

/** Makes a history, step by step. */
export class ChatHistory {
  readonly steps: Step[] = [];
  /** Streams whose event "erased" was appended: their content may be blanked from here on. */
  readonly erasable: string[] = [];
  readonly accounts: KnownAccount[] = [];
  readonly rooms: KnownRoom[] = [];
  readonly messages: KnownMessage[] = [];
  readonly #random: Random;
  readonly #revisions = new Map<string, number>();
  readonly #highest = new Map<string, number>();
  at = Date.UTC(2026, 0, 30, 21);
  #position = 0n;
  #serial = 0;

  constructor(random: Random) {
    this.#random = random;
    for (const workspace of workspaces) {
      this.#append(
        streams.workspace(workspace),
        event('WorkspaceOpened', { workspace, kind: 'client', owner: null, name: 'Client', description: null }),
      );
      for (let i = 0; i < 5; i++) this.#openAccount(workspace);
      for (let i = 0; i < 2; i++) this.#createRoom(workspace);
    }
  }

  #chance(share: number): boolean {
    return this.#random() < share;
  }

  #pick<T>(from: readonly T[]): T | undefined {
    return from[Math.floor(this.#random() * from.length)];
  }

  #next(workspace: number, kind: string): number {
    const key = `${workspace}/${kind}`;
    const id = (this.#highest.get(key) ?? 0) + 1;
    this.#highest.set(key, id);
    return id;
  }

  /** Answers the position of the last event. */
  #append(stream: string, ...events: DomainEvent[]): bigint {
    this.at += Math.floor(this.#random() * 3_600_000);
    const expected = this.#revisions.get(stream) ?? -1;
    this.steps.push({ stream, expected, events, at: this.at });
    this.#revisions.set(stream, expected + events.length);
    this.#position += BigInt(events.length);
    return this.#position;
  }

  /** One more thing that happens. */
  step(): void {
    const roll = this.#random();
    if (roll < 0.4) this.#post();
    else if (roll < 0.52) this.#changeMessage();
    else if (roll < 0.62) this.#read();
    else if (roll < 0.76) this.#membership();
    else if (roll < 0.84) this.#changeAccount();
    else if (roll < 0.88) this.#device();
    else if (roll < 0.91) this.#createRoom(this.#pick(workspaces) as number);
    else if (roll < 0.95) this.#changeRoom();
    else if (roll < 0.99) this.eraseMessages(3);
    else this.#deleteOrErase();
  }

  /** Accounts that were not deleted. */
  people(workspace: number): KnownAccount[] {
    return this.accounts.filter((known) => known.workspace === workspace && known.deleted === null);
  }

  #openAccount(workspace: number): void {
    const account = this.#next(workspace, 'account');
    const ref = { workspace, account };
    const username = `user${account}`;
    this.#append(
      streams.account(workspace, account),
      event('AccountOpened', { ...ref, kind: this.#chance(0.2) ? 'bot' : 'person' }),
      event('IdentifierAttached', { ...ref, kind: 'email', value: `Person${account}@Example.com` }),
      event('IdentifierAttached', { ...ref, kind: 'username', value: username }),
      event('ScopedKeyIssued', { ...ref, secretHash: 'h', sealed: null, permissions: ['read'], expiresAt: null }),
    );
    const names = [{ revision: 2, name: username }];
    const known = { ...ref, openedAt: this.at, devices: [], names, displayName: null, deleted: null, erased: false };
    this.accounts.push(known);
  }

  #changeAccount(): void {
    const known = this.#pick(this.accounts.filter(({ deleted }) => deleted === null));
    if (!known) return;
    const { workspace, account } = known;
    const ref = { workspace, account };
    const stream = streams.account(workspace, account);
    const roll = this.#random();
    if (roll < 0.4) {
      known.displayName = this.#chance(0.2) ? null : `Name ${this.#serial++ % 7}\0\ud800`;
      this.#append(stream, event('ProfileChanged', { ...ref, displayName: known.displayName }));
      const revision = this.#revisions.get(stream) as number;
      const name = known.displayName?.replace('\0', '\uFFFD').replace('\ud800', '\uFFFD') ?? `user${account}`;
      known.names.push({ revision, name });
    } else if (roll < 0.5)
      this.#append(stream, event('ProfileChanged', { ...ref, job: 'Clerk', avatar: 3, bio: null }));
    else if (roll < 0.6) this.#append(stream, event('IdentifierAttached', { ...ref, kind: 'phone', value: '+385' }));
    else if (roll < 0.7) this.#append(stream, event('VerificationStarted', { ...ref, kind: 'phone', codeHash: 'c' }));
    else if (roll < 0.75) this.#append(stream, event('IdentifierVerified', { ...ref, kind: 'email' }));
    else if (roll < 0.8) this.#append(stream, event('ScopedKeyRevoked', ref));
    else if (roll < 0.85) this.#append(stream, event('AccountDeactivated', ref), event('AccountActivated', ref));
    else if (roll < 0.9) this.#append(stream, event('PasswordSet', { ...ref, hash: 'p' }));
    else
      this.#append(
        streams.presence(workspace, account),
        event('PresenceDeclared', { ...ref, online: this.#chance(0.5) }),
      );
  }

  #device(): void {
    const known = this.#pick(this.accounts.filter(({ deleted }) => deleted === null));
    if (!known) return;
    const { workspace, account } = known;
    const living = this.#pick(known.devices.filter(({ deleted }) => !deleted));
    if (!living || this.#chance(0.3)) {
      const device = this.#next(workspace, 'device');
      const data = { workspace, device, account, identifier: `phone ${device}`, claim: `c${device}` };
      const details = event('DeviceChanged', { workspace, device, osName: 'ios', pushToken: `push ${device}` });
      this.#append(streams.device(workspace, device), event('DeviceRegistered', data), details);
      known.devices.push({ device, deleted: false, erased: false });
      return;
    }
    const ref = { workspace, device: living.device };
    const token = { ...ref, secretHash: 'h', sealed: 's', expiresAt: this.at };
    const happened = this.#chance(0.4)
      ? event('DeviceTokenIssued', token)
      : this.#chance(0.5)
        ? event('DeviceTokenEnded', ref)
        : event('DeviceDeleted', ref);
    if (happened.type === 'DeviceDeleted') living.deleted = true;
    this.#append(streams.device(workspace, living.device), happened);
  }

  #createRoom(workspace: number): void {
    const room = this.#next(workspace, 'room');
    const kind = this.#pick(kinds) as RoomKind;
    const isPublic = kind === 'channel';
    const creator = this.#pick(this.people(workspace))?.account ?? 0;
    const ref = { workspace, room };
    const policies = {
      joinPolicy: 'open',
      postPolicy: 'members',
      visibility: isPublic ? 'public' : 'members',
    } as const;
    const texts = { name: `Room ${room}\0`, description: 'talk', avatar: null, meta: { colour: 'red\0' }, claim: null };
    const members = this.people(workspace).filter(() => this.#chance(0.5));
    const historyFrom = this.#chance(0.7) ? 0 : this.at;
    const first = this.#position;
    const started = members.map(({ account }, i) => {
      const roles = account === creator ? (['owner'] as const) : [];
      return event('MembershipStarted', { ...ref, account, membership: i + 1, roles: [...roles], historyFrom });
    });
    const data = { ...ref, kind, ...texts, ...policies, maxMembers: 100, creator };
    this.#append(streams.room(workspace, room), event('RoomCreated', data), ...started);
    const memberships = members.map(({ account }, i) => {
      return { account, membership: i + 1, historyFrom, from: first + BigInt(i) + 2n, hiddenUntil: 0, to: null };
    });
    this.rooms.push({
      ...ref,
      kind,
      createdAt: this.at,
      isPublic,
      memberships,
      watermarks: new Map(),
      deleted: false,
      deletedPosition: null,
      inactiveAt: null,
      erasing: false,
      erased: false,
    });
  }

  #changeRoom(): void {
    const known = this.#pick(this.rooms.filter(({ deleted }) => !deleted));
    if (!known) return;
    const { workspace, room } = known;
    const ref = { workspace, room };
    const stream = streams.room(workspace, room);
    const roll = this.#random();
    if (roll < 0.3) this.#append(stream, event('RoomChanged', { ...ref, description: `said ${this.#serial++}` }));
    else if (roll < 0.4) this.#append(stream, event('RoomChanged', { ...ref, meta: null, maxMembers: null }));
    else if (roll < 0.6) {
      this.#append(stream, event('RoomDeactivated', { ...ref, reason: 'closed' }));
      known.inactiveAt = this.at;
    } else if (roll < 0.8) {
      this.#append(stream, event('RoomActivated', ref));
      known.inactiveAt = null;
    } else {
      const erase = this.#chance(0.5);
      known.deletedPosition = this.#append(stream, event('RoomDeleted', { ...ref, erase }));
      known.deleted = true;
      known.erasing = erase;
    }
  }

  #membership(): void {
    const known = this.#pick(this.rooms.filter(({ deleted }) => !deleted));
    if (!known) return;
    const { workspace, room } = known;
    const ref = { workspace, room };
    const stream = streams.room(workspace, room);
    const current = this.#pick(known.memberships.filter(({ to }) => to === null));
    const roll = this.#random();
    if (roll < 0.5 || !current) {
      const inside = new Set(known.memberships.filter(({ to }) => to === null).map(({ account }) => account));
      const joining = this.#pick(this.people(workspace).filter(({ account }) => !inside.has(account)));
      if (!joining) return;
      const historyFrom = this.#chance(0.5) ? 0 : this.at;
      const membership = known.memberships.length + 1;
      const { account } = joining;
      const data = { ...ref, account, membership, roles: [], historyFrom, meta: { via: 'link' } };
      const from = this.#append(stream, event('MembershipStarted', data));
      known.memberships.push({ account, membership, historyFrom, from, hiddenUntil: 0, to: null });
      return;
    }
    const { account, membership } = current;
    if (roll < 0.75) {
      current.to = this.#append(stream, event('MembershipEnded', { ...ref, account, membership }));
    } else if (roll < 0.9) {
      this.#append(stream, event('MemberRolesChanged', { ...ref, account, membership, roles: ['admin'] }));
    } else {
      current.hiddenUntil = this.at;
      this.#append(stream, event('HistoryHidden', { ...ref, account, membership, until: this.at }));
    }
  }

  #body(text: string, workspace: number): Body {
    const roll = this.#random();
    if (roll < 0.6) return { kind: 'text', text };
    const attachment = { url: 'https://files.example.com/a', sizeBytes: 3.5 };
    if (roll < 0.7) return { kind: 'file', media: 'document', text, attachment, label: 'file' };
    if (roll < 0.75) return { kind: 'file', media: 'image', text, attachment: { file: 1 } };
    if (roll < 0.8) return { kind: 'poll', text, options: ['yes', 'no\0'] };
    if (roll < 0.85) return { kind: 'action', text, actions: ['go'] };
    if (roll < 0.9)
      return { kind: 'invite', text: '', invited: this.rooms.find((r) => r.workspace === workspace)?.room ?? 1 };
    return { kind: 'custom', label: 'system', text };
  }

  #post(): void {
    // A node that has not heard of a room's erasure may still post there.
    const room = this.#pick(this.rooms.filter((each) => !each.erasing || this.#chance(0.1)));
    if (room) this.#postIn(room);
  }

  #postIn(room: KnownRoom): void {
    const { workspace } = room;
    const members = room.memberships.filter(({ to }) => to === null);
    const sender = this.#chance(0.1) ? 0 : (this.#pick(members)?.account ?? 0);
    const message = this.#next(workspace, 'message');
    const text = `text of ${message}${this.#chance(0.2) ? '\0 50%_' : ''}`;
    const answered = this.#pick(this.messages.filter((each) => each.room === room));
    const account = this.accounts.find((each) => each.workspace === workspace && each.account === sender);
    const receivers = members.map((member) => member.account).filter(() => this.#chance(0.8));
    const data: EventData<'MessagePosted'> = {
      workspace,
      room: room.room,
      message,
      sender,
      profileRevision: account ? (this.#revisions.get(streams.account(workspace, sender)) ?? 0) : 0,
      senderName: this.#chance(0.1) ? 'Given name' : null,
      device: null,
      body: this.#body(text, workspace),
      meta: this.#chance(0.3) ? { tag: 'a\0', n: 1.5 } : null,
      replyTo: answered && this.#chance(0.3) ? { message: answered.message, edit: answered.edits } : null,
      forwardedFrom: answered && this.#chance(0.1) ? answered.message : null,
      audience: this.#chance(0.2) ? { receivers, total: members.length } : null,
    };
    const position = this.#append(streams.message(workspace, message), event('MessagePosted', data));
    this.messages.push({
      workspace,
      room,
      message,
      data,
      postedAt: this.at,
      position,
      text: data.body.text,
      edits: 0,
      editedAt: null,
      editedPosition: null,
      deleted: null,
      erased: false,
      hidings: new Map(),
      receipts: new Map(),
    });
  }

  #changeMessage(): void {
    const known = this.#pick(this.messages.slice(-25));
    if (!known || known.deleted || known.erased) return;
    const { workspace, message } = known;
    const ref = { workspace, room: known.room.room, message };
    const stream = streams.message(workspace, message);
    const roll = this.#random();
    if (roll < 0.5 && known.data.body.kind !== 'poll' && known.data.body.kind !== 'invite') {
      known.text = `edited ${this.#serial++}`;
      const meta = this.#chance(0.5) ? {} : { meta: null };
      known.editedPosition = this.#append(stream, event('MessageEdited', { ...ref, text: known.text, ...meta }));
      known.edits++;
      known.editedAt = this.at;
    } else if (roll < 0.75) {
      const { account } = this.#pick(known.room.memberships) ?? { account: 0 };
      const position = this.#append(stream, event('MessageDeleted', { ...ref, account, scope: 'account' }));
      if (!known.hidings.has(account)) known.hidings.set(account, position);
    } else {
      const by = known.data.sender;
      const position = this.#append(stream, event('MessageDeleted', { ...ref, account: by, scope: 'everyone' }));
      known.deleted = { by, at: this.at, position };
    }
  }

  #read(): void {
    const known = this.#pick(this.messages.slice(-25));
    if (!known) return;
    const { workspace, message, room } = known;
    const member = this.#pick(room.memberships);
    if (!member) return;
    const { account } = member;
    const ref = { workspace, room: room.room, message, account };
    const stream = streams.receipts(workspace, message, account);
    if (this.#chance(0.5)) {
      const receipt = known.receipts.get(account) ?? { delivered: false, read: false };
      known.receipts.set(account, receipt);
      if (receipt.read) return;
      const events = [];
      if (!receipt.delivered) events.push(event('ReceiptRecorded', { ...ref, status: 'delivered' }));
      if (receipt.delivered || this.#chance(0.3)) {
        events.push(event('ReceiptRecorded', { ...ref, status: 'read' }));
        receipt.read = true;
      }
      receipt.delivered = true;
      this.#append(stream, ...events);
      return;
    }
    const moved = streams.watermark(workspace, room.room, account, message);
    if (this.#revisions.has(moved)) return;
    const position = this.#append(moved, event('WatermarkMoved', ref));
    const highest = room.watermarks.get(account);
    if (!highest || highest.message < message) room.watermarks.set(account, { message, position });
  }

  #deleteOrErase(): void {
    const roll = this.#random();
    if (roll < 0.5) this.#deleteAccount(this.#pick(this.accounts.filter(({ deleted }) => deleted === null)));
    else if (roll < 0.75) for (const known of this.accounts) this.#eraseAccount(known);
    else for (const room of this.rooms) this.#eraseRoom(room);
  }

  #deleteAccount(known: KnownAccount | undefined): void {
    if (!known) return;
    const { workspace, account } = known;
    known.deleted = this.#chance(0.5) ? 'keep' : 'erase';
    const data = { workspace, account, messages: known.deleted };
    this.#append(streams.account(workspace, account), event('AccountDeleted', data));
  }

  #eraseAccount(known: KnownAccount): void {
    const { workspace, account, deleted, openedAt, devices } = known;
    if (known.erased || deleted === null) return;
    if (deleted === 'erase' && this.messages.some((each) => !each.erased && this.#isOf(each, known))) return;
    const opened = this.steps.find(({ stream }) => stream === streams.account(workspace, account))?.events[0];
    const { kind } = (opened as DomainEvent<'AccountOpened'>).data;
    const own = devices.filter((device) => !device.erased);
    const data = { workspace, account, kind, openedAt, messages: deleted, devices: own.map(({ device }) => device) };
    known.erased = true;
    for (const device of own) device.erased = true;
    this.#append(streams.erasure(streams.account(workspace, account)), event('AccountErased', data));
    this.erasable.push(streams.account(workspace, account), streams.presence(workspace, account));
    this.erasable.push(...own.map(({ device }) => streams.device(workspace, device)));
  }

  #isOf(message: KnownMessage, { workspace, account }: KnownAccount): boolean {
    return message.workspace === workspace && message.data.sender === account;
  }

  #eraseRoom(known: KnownRoom): void {
    const { workspace, room, kind, createdAt } = known;
    if (known.erased || !known.erasing || this.messages.some((each) => each.room === known && !each.erased)) return;
    known.erased = true;
    const stream = streams.room(workspace, room);
    this.#append(streams.erasure(stream), event('RoomErased', { workspace, room, kind, createdAt }));
    this.erasable.push(stream);
  }

  /** Whether a message is to be erased. */
  isErasable(message: KnownMessage): boolean {
    if (message.erased) return false;
    const sender = this.accounts.find((each) => this.#isOf(message, each));
    return message.deleted !== null || message.room.erasing || (sender?.deleted === 'erase' && !sender.erased);
  }

  /** Erases a page of each room's messages that were deleted, with a room or a sender too. */
  eraseMessages(limit: number): void {
    for (const room of this.rooms) {
      const page = this.messages.filter((each) => each.room === room && this.isErasable(each)).slice(0, limit);
      if (page.length === 0) continue;
      // As an event "erased" that does not say where the deletions stood.
      const unsaid = this.#chance(0.2);
      const { at } = this;
      const items = page.map(({ message, data, edits, editedAt, postedAt, deleted }) => {
        const { sender, profileRevision, device, body, replyTo, forwardedFrom, audience } = data;
        const label = body.kind === 'file' ? (body.label ?? body.media) : body.kind === 'custom' ? body.label : null;
        const fixed = {
          message,
          sender,
          profileRevision,
          device,
          kind: body.kind,
          label,
          replyTo,
          forwardedFrom,
          audience,
        };
        const gone = { deletedBy: deleted?.by ?? 0, deletedAt: deleted?.at ?? at };
        const deletedPosition = deleted?.position === undefined ? null : String(deleted.position);
        return { ...fixed, edits, editedAt, postedAt, ...gone, ...(unsaid ? {} : { deletedPosition }) };
      });
      const { workspace } = room;
      const place = this.#append(
        `erased-page-${workspace}-${this.#serial++}`,
        event('MessagesErased', { workspace, room: room.room, items }),
      );
      for (const known of page) {
        known.erased = true;
        known.deleted ??= { by: 0, at, position: null };
        if (unsaid) known.deleted.position = place;
        this.erasable.push(streams.message(workspace, known.message));
      }
    }
  }

  /** Deletes and erases everything that can be; a late message comes after its room was erased, and is erased as well. */
  eraseEverything(): void {
    for (const known of this.rooms) {
      const { workspace, room } = known;
      if (known.erasing) continue;
      known.deletedPosition = this.#append(
        streams.room(workspace, room),
        event('RoomDeleted', { workspace, room, erase: true }),
      );
      known.deleted = true;
      known.erasing = true;
    }
    for (const known of this.accounts) if (known.deleted === null) this.#deleteAccount(known);
    this.eraseMessages(Number.POSITIVE_INFINITY);
    for (const room of this.rooms) this.#eraseRoom(room);
    this.#postIn(this.rooms[0] as KnownRoom);
    this.eraseMessages(Number.POSITIVE_INFINITY);
    for (const known of this.accounts) {
      for (const device of known.devices.filter(({ deleted, erased }) => deleted && !erased && this.#chance(0.5))) {
        device.erased = true;
        const { workspace, account } = known;
        const stream = streams.device(workspace, device.device);
        this.#append(streams.erasure(stream), event('DeviceErased', { workspace, device: device.device, account }));
        this.erasable.push(stream);
      }
      this.#eraseAccount(known);
    }
  }

  /** The history as a log gives it. */
  recorded(): RecordedEvent[] {
    return recordedFrom(this.steps);
  }
}

/** A history of `length` steps. */
export function makeChat(seed: number, length: number): ChatHistory {
  const chat = new ChatHistory(randomOf(seed));
  for (let i = 0; i < length; i++) chat.step();
  return chat;
}
