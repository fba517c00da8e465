import t from 'tap';
import { type DomainEvent, event, type RecordedEvent } from '../../schemas/index.ts';
import { streams } from '../../src/commands/streams.ts';
import { orderingKey, partitionOf, partitionOfKey, partOf, partsOf } from '../../src/feed/feed.ts';

function recorded(stream: string, happened: DomainEvent, position = 1): RecordedEvent {
  const place = { position: BigInt(position), stream, revision: 0, commitId: 'c', index: 0, at: 1, meta: {} };
  return { ...happened, ...place } as RecordedEvent;
}

t.test('what ended a thing has the key of the thing', async (t) => {
  const w = { workspace: 3 };
  const cases: [DomainEvent, string][] = [
    [event('WorkspaceErased', { ...w, kind: 'project', owner: null, createdAt: 1 }), streams.workspace(3)],
    [event('KeyErased', { ...w, key: 4 }), streams.key(3, 4)],
    [event('ConnectorErased', { ...w, connector: 4, connectorType: 'twilio' }), streams.connector(3, 4)],
    [event('TemplateErased', { ...w, template: 4, connectorType: 'twilio' }), streams.template(3, 4)],
    [
      event('NotificationErased', {
        ...w,
        notification: 'n4',
        room: null,
        type: 'email',
        status: 'sent',
        priority: 'low',
        fallback: null,
        createdAt: 1,
      }),
      streams.notification('n4'),
    ],
    [
      event('AccountErased', { ...w, account: 4, kind: 'person', openedAt: 1, messages: 'keep', devices: [] }),
      streams.account(3, 4),
    ],
  ];
  for (const [happened, key] of cases) t.equal(orderingKey(recorded(`erased-${key}`, happened)), key, happened.type);
});

t.test('a room, its messages and their receipts have one key', async (t) => {
  const room = { workspace: 3, room: 9 };
  const receipt = event('ReceiptRecorded', { ...room, message: 5, account: 1, status: 'read' });
  const keys = [
    recorded('room-3-9', event('RoomActivated', room)),
    recorded('message-3-5', event('MessageEdited', { ...room, message: 5, text: 'x' })),
    recorded('receipt-3-5-1', receipt),
    recorded('erased-message', event('MessagesErased', { ...room, items: [] })),
  ].map(orderingKey);
  t.equal(new Set(keys).size, 1);
  t.not(keys[0], orderingKey(recorded('room-3-10', event('RoomActivated', { ...room, room: 10 }))));
});

t.test('keys that differ in a digit spread evenly', async (t) => {
  for (const partitions of [2, 3, 8, 12]) {
    const counts = new Array<number>(partitions).fill(0);
    const keys = 24_000;
    for (let n = 0; n < keys; n++) {
      const partition = partitionOfKey(`connector-${n % 7}-${n}`, partitions);
      counts[partition] = (counts[partition] ?? 0) + 1;
    }
    const fair = keys / partitions;
    t.ok(
      counts.every((count) => Math.abs(count - fair) < fair * 0.1),
      `${partitions}: ${counts.join(' ')}`,
    );
  }
});

/** A page of erased dispatches. */
function page(): RecordedEvent {
  const key = { workspace: 3, account: 1 };
  const items = Array.from({ length: 40 }, (_, n) => ({
    ...{ dispatch: `d${n}`, owner: key, key: 1, connector: 1, connectorType: 'twilio' as const },
    ...{ template: 1, status: 'sent' as const, createdAt: 1, sentAt: 1, deliveredAt: null },
  }));
  return recorded('erased-dispatch', event('DispatchesErased', { workspace: 3, items }));
}

t.test('a page of erased dispatches is in the partition of each, with those that belong there', async (t) => {
  const erased = page();
  const found: string[] = [];
  const partitions = new Set<number>();
  for (const [partition, part] of partsOf(erased, 4)) {
    t.notOk(partitions.has(partition));
    partitions.add(partition);
    if (part.type !== 'DispatchesErased') throw new Error(part.type);
    for (const { dispatch } of part.data.items) {
      t.equal(partitionOfKey(streams.dispatch(dispatch), 4), partition);
      found.push(dispatch);
    }
  }
  t.ok(partitions.has(partitionOf(erased, 4)));
  t.ok(partitions.size > 1);
  t.equal(new Set(found).size, 40);
  t.equal(found.length, 40);
  t.same([...partsOf(erased, 1)], [[0, erased]], 'one partition has the whole');
  t.equal(
    partOf(erased, () => false),
    null,
  );
});
