import t from 'tap';
import {
  accountsByNumber,
  accountsWith,
  declaredPresence,
  findAccount,
  findAccountByEmail,
  listAccounts,
} from '../../projections/accounts/queries.ts';
import { devicesOf, findDevice, findDeviceByIdentifier } from '../../projections/devices/queries.ts';
import { findWorkspace } from '../../projections/workspaces/queries.ts';
import { type DomainEvent, event, type RecordedEvent } from '../../schemas/index.ts';
import { streams } from '../../src/commands/streams.ts';
import { applyAll, scratchDatabase, useSchema } from './scratch.ts';

const at = Date.UTC(2026, 3, 1);
const revisions = new Map<string, number>();

function recorded(stream: string, minute: number, ...events: DomainEvent[]): RecordedEvent[] {
  return events.map((happened, index) => {
    const revision = (revisions.get(stream) ?? -1) + 1;
    revisions.set(stream, revision);
    const place = { position: BigInt(minute), stream, revision, commitId: 'c', index, at: at + minute * 60_000 };
    return { ...happened, ...place, meta: {} } as RecordedEvent;
  });
}

function opened(workspace: number, account: number, minute: number, email: string, username: string): RecordedEvent[] {
  const ref = { workspace, account };
  return recorded(
    streams.account(workspace, account),
    minute,
    event('AccountOpened', { ...ref, kind: 'person' }),
    event('IdentifierAttached', { ...ref, kind: 'email', value: email }),
    event('IdentifierAttached', { ...ref, kind: 'username', value: username }),
  );
}

const client = { kind: 'client', owner: null, name: 'Client', description: null } as const;

t.test('accounts are found and listed in their own workspace alone', async (t) => {
  const db = await scratchDatabase(t);
  await useSchema(db, 'read');
  const ref = { workspace: 2, account: 1 };
  const key = { ...ref, secretHash: 'h', sealed: null, permissions: null, expiresAt: at + 1 };
  const stream = streams.account(2, 1);
  await applyAll(db, [
    recorded(streams.workspace(2), 1, event('WorkspaceOpened', { workspace: 2, ...client })),
    recorded(streams.workspace(3), 1, event('WorkspaceOpened', { workspace: 3, ...client })),
    [...opened(2, 1, 2, 'Ann@Example.com', 'ann'), ...opened(2, 2, 3, 'ann@example.com', 'bob')],
    [...opened(2, 3, 4, 'Cid_X@example.com', 'cid'), ...opened(3, 1, 5, 'Ann@Example.com', 'ann')],
    recorded(
      stream,
      6,
      event('ProfileChanged', { ...ref, givenName: 'Ann', job: 'Clerk' }),
      event('ScopedKeyIssued', key),
    ),
    recorded(streams.presence(2, 1), 7, event('PresenceDeclared', { ...ref, online: true })),
    recorded(streams.account(2, 3), 8, event('AccountDeactivated', { workspace: 2, account: 3 })),
  ]);
  t.match(await findAccount(db, ref), {
    email: 'Ann@Example.com',
    username: 'ann',
    givenName: 'Ann',
    familyName: null,
    job: 'Clerk',
    active: true,
    scopedKey: { issuedAt: at + 6 * 60_000, expiresAt: at + 1, permissions: null },
    openedAt: at + 2 * 60_000,
    updatedAt: at + 6 * 60_000,
    deleted: false,
  });
  t.same(await accountsWith(db, 2, 'email', 'ann@example.com', 'folded'), [1, 2]);
  t.same(await accountsWith(db, 2, 'email', 'ann@example.com'), [2]);
  t.same(await accountsWith(db, 3, 'username', 'ann'), [1]);
  t.same(await accountsWith(db, 3, 'username', 'Ann'), []);
  t.same(await accountsWith(db, 2, 'phone', '+1'), []);
  t.match(await declaredPresence(db, 2, [1, 2]), [{ account: 1, online: true, changedAt: at + 7 * 60_000 }]);
  const numbers = async (filter: object, page?: { limit: number; offset: number }) => {
    const { items, total } = await listAccounts(db, { workspace: 2, ...filter }, page);
    return { numbers: items.map(({ account }) => account), total };
  };
  t.same(await numbers({}), { numbers: [1, 2, 3], total: 3 });
  t.same(await numbers({ order: 'desc' }, { limit: 2, offset: 1 }), { numbers: [2, 1], total: 3 });
  t.same(await numbers({ active: true, sort: 'username', order: 'desc' }), { numbers: [2, 1], total: 2 });
  t.same(await numbers({ search: 'D_X' }), { numbers: [3], total: 1 }, 'any case, and no wildcards');
  t.same(await numbers({ after: 1, kinds: ['person'] }), { numbers: [2, 3], total: 2 });
  t.same(await numbers({ kinds: ['bot'] }), { numbers: [], total: 0 });

  await applyAll(db, [recorded(stream, 9, event('AccountDeleted', { ...ref, messages: 'keep' }))]);
  t.equal(await findAccount(db, ref), null);
  t.equal((await findAccountByEmail(db, 2, 'ann@example.com'))?.account, 2);
  t.match(await accountsByNumber(db, 2, [1, 2, 99]), [
    { account: 1, deleted: true, email: null, givenName: null },
    { account: 2 },
  ]);
  t.same(await declaredPresence(db, 2, [1]), []);
  t.same(await numbers({}), { numbers: [2, 3], total: 2 });
  await applyAll(db, [recorded(streams.workspace(2), 10, event('WorkspaceDeleted', { workspace: 2, owner: null }))]);
  t.same([await numbers({}), await accountsByNumber(db, 2, [2])], [{ numbers: [], total: 0 }, []]);
});

t.test('devices', async (t) => {
  const db = await scratchDatabase(t);
  await useSchema(db, 'read');
  const ref = { workspace: 2, device: 1 };
  const stream = streams.device(2, 1);
  await applyAll(db, [
    recorded(streams.workspace(2), 1, event('WorkspaceOpened', { workspace: 2, ...client })),
    recorded(stream, 2, event('DeviceRegistered', { ...ref, account: 4, identifier: 'phone', claim: 'c' })),
    recorded(stream, 3, event('DeviceTokenIssued', { ...ref, secretHash: 'h', sealed: 's', expiresAt: null })),
  ]);
  const device = await findDevice(db, 2, 1);
  t.match(device, { account: 4, identifier: 'phone', tokenIssuedAt: at + 3 * 60_000, tokenExpiresAt: null });
  t.same(await devicesOf(db, 2, [4, 5]), [device]);
  t.same(await findDeviceByIdentifier(db, 2, 'phone'), device);
  t.equal(await findDeviceByIdentifier(db, 3, 'phone'), null);
  await applyAll(db, [
    recorded(stream, 4, event('DeviceChanged', { ...ref, account: 5, osName: 'ios' }), event('DeviceTokenEnded', ref)),
  ]);
  t.match(await devicesOf(db, 2, [4, 5]), [{ account: 5, osName: 'ios', tokenIssuedAt: null }]);
  await applyAll(db, [recorded(stream, 5, event('DeviceDeleted', ref))]);
  t.equal(await findDevice(db, 2, 1), null);
});

t.test('a workspace is active until it is told otherwise', async (t) => {
  const db = await scratchDatabase(t);
  await useSchema(db, 'read');
  const stream = streams.workspace(6);
  await applyAll(db, [recorded(stream, 1, event('WorkspaceOpened', { workspace: 6, ...client }))]);
  t.match(await findWorkspace(db, 6), { kind: 'client', name: 'Client', isActive: true, createdAt: at + 60_000 });
  await applyAll(db, [recorded(stream, 2, event('WorkspaceChanged', { workspace: 6, isActive: false }))]);
  t.match(await findWorkspace(db, 6), { name: 'Client', isActive: false, updatedAt: at + 120_000 });
  await applyAll(db, [recorded(stream, 3, event('WorkspaceDeleted', { workspace: 6, owner: null }))]);
  t.equal(await findWorkspace(db, 6), null);
});
