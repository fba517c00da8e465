/** Whoever was told that an account exists can log in to it: the log is asked, not the rows, which may be behind. */
import t from 'tap';
import { heldRows } from '../support/held-rows.ts';
import { startHarness } from './chatapi/harness.ts';

t.test('logins of accounts that the rows do not show yet', async (t) => {
  const chat = await startHarness(t);
  const client = await chat.client();
  const letRowsGo = await heldRows(t, chat.databaseUrl);
  const post = async (path: string, body: object) => {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${chat.url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    return { status: response.status, body: (await response.json()) as { data?: { token?: string }; token?: string } };
  };

  const ada = { email: 'ada@example.com', password: 'correct horse' };
  t.equal((await post('/api/v1/auth/register', { ...ada, name: 'Ada' })).status, 201);
  const messagejs = await post('/api/v1/auth/login', ada);
  t.match(messagejs, { status: 200, body: { token: String, user: { email: ada.email, name: 'Ada' } } });
  t.equal((await post('/api/v1/auth/login', { ...ada, password: 'wrong horse' })).status, 401);

  const john = { name: 'John', subname: 'Doe', email: 'john@example.com', job: 'CEO', password: 'secret' };
  t.equal((await post('/api/users', { user: john })).status, 201);
  const company = await post('/api/login', { creds: { email: john.email, password: john.password } });
  t.match(company, { status: 200, body: { data: { token: String } } });

  const user = await chat.user(client, 'ann');
  const issued = await chat.post('/users/login', { email: user.email }, client.key);
  t.match(issued, { status: 200, body: { data: { scoped_api_key: String } } });
  t.not(issued.str('data.scoped_api_key'), user.key);
  await letRowsGo();
});
