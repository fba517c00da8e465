import t from 'tap';
import { checkEvent } from '../../schemas/index.ts';
import { makeChat } from './chat-history.ts';
import { testErasing } from './erasing.ts';
import { seedOf } from './scratch.ts';

const length = 400;

t.test('the histories hold to the schemas', async (t) => {
  const chat = makeChat(seedOf(t), length);
  chat.eraseEverything();
  for (const event of chat.recorded()) checkEvent(event);
  const types = new Set(chat.recorded().map(({ type }) => type));
  for (const type of ['MessagesErased', 'RoomErased', 'AccountErased', 'HistoryHidden', 'ReceiptRecorded'] as const) {
    t.ok(types.has(type), `${type} happens`);
  }
});

testErasing({
  make: makeChat,
  histories: 4,
  length,
  isRich: (t, { messages, watermarks, devices }) =>
    t.ok(messages?.length && watermarks?.length && devices?.length, 'there is something of each'),
  isBare(t, { messages, memberships, watermarks, message_receipts, message_hidings, account_names, ...others }) {
    t.notOk(
      messages?.some((row) => row.includes('"erased": false')),
      'every message is a tombstone',
    );
    t.same([memberships, watermarks, message_receipts, message_hidings, account_names], [[], [], [], [], []]);
    const texts = JSON.stringify([messages, others.rooms, others.accounts, others.devices]);
    t.notMatch(
      texts,
      /text of|edited \d|Room \d|talk|colour|Name|Example|phone \d|Clerk|user\d/,
      'nothing that was said is left',
    );
  },
  // Receipts, watermarks and workspaces hold nothing that is erased.
  alone: /^(erased|receipts|watermark|workspace)-/,
});
