/** The life cycle of a dispatch (MessageJS sheet, section 12): every order of results and receipts. */
import fc from 'fast-check';
import t from 'tap';
import { event } from '../../schemas/index.ts';
import { type DispatchCommand, type DispatchState, dispatch } from '../../src/domain/dispatch.ts';
import { dispatchCommands } from './arbitraries.ts';
import { decided, given, type Past, stateAfter } from './given.ts';

const ref = { workspace: 7, dispatch: 'd'.repeat(24) };
const acceptance = {
  ...ref,
  owner: { workspace: 1, account: 3 },
  key: 2,
  connector: 4,
  connectorType: 'whatsapp',
  template: 5,
  to: '+491701234567',
  text: 'Hello',
} as const;
const accepted = event('DispatchAccepted', acceptance);
const sent = event('DispatchSent', { ...ref, connector: 4, externalId: 'x1', attempt: 1, sentAt: 50 });
const delivered = event('DispatchDelivered', { ...ref, deliveredAt: 60 });
const failed = event('DispatchFailed', { ...ref, error: 'no', attempt: 1 });
const deferred = event('DispatchDeferred', { ...ref, attempt: 1, retryAt: 5_000, error: 'later' });

const histories = {
  pending: [accepted],
  deferred: [accepted, deferred],
  sent: [accepted, sent],
  delivered: [accepted, sent, delivered],
  'delivered before the answer to the send': [accepted, delivered],
  failed: [accepted, failed],
  'failed after it was sent': [accepted, sent, failed],
} satisfies Record<string, Past[]>;

const receipt = (status: 'sent' | 'delivered' | 'failed', externalId: string | null): DispatchCommand => ({
  command: 'RecordReceipt',
  status,
  externalId,
  error: status === 'failed' ? 'gone' : null,
  now: 70,
});

const commands = {
  sent: { command: 'RecordSent', externalId: 'x1', sentAt: 50, attempt: 1, delivered: false },
  'sent, which is all': { command: 'RecordSent', externalId: 'x1', sentAt: 50, attempt: 1, delivered: true },
  deferred: { command: 'RecordDeferred', attempt: 1, retryAt: 5_000, error: 'later' },
  failed: { command: 'RecordFailed', error: 'no', attempt: 1 },
  'receipt: sent': receipt('sent', 'x1'),
  'receipt: sent, unnamed': receipt('sent', null),
  'receipt: delivered': receipt('delivered', 'x1'),
  'receipt: delivered, unnamed': receipt('delivered', null),
  'receipt: failed': receipt('failed', 'x1'),
} satisfies Record<string, DispatchCommand>;

type Name = keyof typeof commands;

const whilePending: Record<Name, string> = {
  sent: 'DispatchSent = sent',
  'sent, which is all': 'DispatchSent DispatchDelivered = delivered',
  deferred: 'DispatchDeferred = pending',
  failed: 'DispatchFailed = failed',
  'receipt: sent': 'DispatchSent = sent',
  'receipt: sent, unnamed': '= pending',
  'receipt: delivered': 'DispatchSent DispatchDelivered = delivered',
  'receipt: delivered, unnamed': 'DispatchDelivered = delivered',
  'receipt: failed': 'DispatchFailed = failed',
};

/** Nothing happens, whatever comes, but for what is named. */
function nothingBut(status: string, but: Partial<Record<Name, string>> = {}): Record<Name, string> {
  const nothing = Object.fromEntries(Object.keys(commands).map((name) => [name, `= ${status}`])) as Record<
    Name,
    string
  >;
  return { ...nothing, ...but };
}

const table: Record<keyof typeof histories, Record<Name, string>> = {
  pending: whilePending,
  deferred: { ...whilePending, deferred: '= pending' },
  sent: nothingBut('sent', {
    'receipt: delivered': 'DispatchDelivered = delivered',
    'receipt: delivered, unnamed': 'DispatchDelivered = delivered',
    'receipt: failed': 'DispatchFailed = failed',
  }),
  delivered: nothingBut('delivered'),
  'delivered before the answer to the send': nothingBut('delivered', {
    sent: 'DispatchSent = delivered',
    'sent, which is all': 'DispatchSent = delivered',
  }),
  failed: nothingBut('failed'),
  'failed after it was sent': nothingBut('failed'),
};

t.test('whatever comes in whatever order', async (t) => {
  for (const [history, row] of Object.entries(table)) {
    for (const [name, expected] of Object.entries(row)) {
      const past = histories[history as keyof typeof histories];
      const events = dispatch.decide(stateAfter(dispatch, past), commands[name as Name]);
      const { status } = stateAfter(dispatch, [...past, ...events]);
      const found = [...events.map(({ type }) => type), '=', status].join(' ');
      t.equal(found, expected, `${history}, then ${name}`);
    }
  }
});

t.test('what the events say', async (t) => {
  given(t, dispatch)
    .when({ command: 'AcceptDispatch', ...acceptance })
    .yields([accepted]);
  given(t, dispatch, [accepted])
    .when({ command: 'AcceptDispatch', ...acceptance })
    .yields('already-exists');
  for (const command of Object.values(commands)) given(t, dispatch).when(command).yields('not-found');

  given(t, dispatch, [accepted]).when(commands.sent).yields([sent]);
  given(t, dispatch, [accepted])
    .when(commands['sent, which is all'])
    .yields([sent, event('DispatchDelivered', { ...ref, deliveredAt: 50 })], 'Telegram: sent and delivered at once');
  given(t, dispatch, [accepted, deferred])
    .when(receipt('delivered', 'x9'))
    .yields(
      [
        event('DispatchSent', { ...ref, connector: 4, externalId: 'x9', attempt: 2, sentAt: 70 }),
        event('DispatchDelivered', { ...ref, deliveredAt: 70 }),
      ],
      'a receipt that overtakes the answer tells of the attempt under way',
    );
  const later = { command: 'RecordDeferred', attempt: 1, retryAt: 9_000, error: 'later' } as const;
  given(t, dispatch, [accepted, deferred])
    .when(later)
    .yields([event('DispatchDeferred', { ...ref, attempt: 1, retryAt: 9_000, error: 'later' })], 'another deferral');
  given(t, dispatch, [accepted, sent])
    .when(receipt('failed', 'x1'))
    .yields([event('DispatchFailed', { ...ref, error: 'gone', attempt: 1 })]);
  given(t, dispatch, [accepted, sent])
    .when({ command: 'RecordReceipt', status: 'failed', externalId: 'x1', error: null, now: 70 })
    .yields([event('DispatchFailed', { ...ref, error: 'the provider reported a failure', attempt: 1 })]);
  given(t, dispatch, [accepted, deferred])
    .when({ command: 'RecordFailed', error: 'the connector was deleted' })
    .yields([event('DispatchFailed', { ...ref, error: 'the connector was deleted', attempt: 1 })], 'uses no attempt');
  given(t, dispatch, [accepted, delivered])
    .when(commands.sent)
    .yields([sent], 'the external id of what was delivered already is still learnt');
});

const rank: Record<DispatchState['status'], number> = { none: 0, pending: 1, sent: 2, delivered: 3, failed: 3 };

t.test('no sequence of commands goes backwards', async () => {
  fc.assert(
    fc.property(dispatchCommands, (sequence) => {
      let state = dispatch.initial;
      let at = 0;
      const silent: DispatchCommand[] = [];
      for (const command of sequence) {
        const events = decided(dispatch, state, command);
        if (typeof events === 'string') continue;
        for (const happened of events) {
          const next = dispatch.evolve(state, { ...happened, at: ++at });
          if (rank[next.status] < rank[state.status]) throw new Error(`${state.status} became ${next.status}`);
          if (rank[state.status] === 3 && next.status !== state.status)
            throw new Error(`${state.status} was overwritten by ${next.status}`);
          if (state.externalId !== null && next.externalId !== state.externalId)
            throw new Error('the external id changed');
          state = next;
        }
        if (command.command !== 'RecordDeferred') {
          const again = decided(dispatch, state, command);
          if (typeof again !== 'string' && again.length > 0) throw new Error(`${command.command} took effect twice`);
        }
        if (events.length === 0) silent.push(command);
        // What changes nothing now changes nothing later: who decides on an old state may leave it at that.
        for (const old of silent) {
          if ((decided(dispatch, state, old) as unknown[]).length > 0) throw new Error(`${old.command} woke up`);
        }
      }
    }),
    { numRuns: 500 },
  );
});
