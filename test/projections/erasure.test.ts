import { testErasing } from './erasing.ts';
import { makeHistory } from './history.ts';

testErasing({
  make: makeHistory,
  histories: 6,
  length: 250,
  isRich: (t, { dispatches }) => t.ok(dispatches?.length, 'the history has dispatches'),
  hasErased: (t, { dispatches }) =>
    t.ok(
      dispatches?.some((row) => row.includes('"erased": true')),
      'something was erased',
    ),
  isBare(t, { dispatches, workspaces }) {
    t.notOk(
      dispatches?.some((row) => row.includes('"erased": false')),
      'every dispatch is a tombstone',
    );
    t.notMatch(JSON.stringify(dispatches), 'text of', 'no text is left');
    t.notMatch(JSON.stringify(workspaces), 'Project', 'no name is left');
  },
  // Accounts, sessions and held receipts have no event "erased".
  alone: /^(erased|account|session|receipt)-/,
});
