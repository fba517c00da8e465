/** The rules of workspaces, keys and connectors: what was deleted does not exist. */
import t from 'tap';
import { event } from '../../schemas/index.ts';
import { connector } from '../../src/domain/connector.ts';
import { DomainError, type ErrorCode, errorCatalogue } from '../../src/domain/errors.ts';
import { key } from '../../src/domain/key.ts';
import { workspace } from '../../src/domain/workspace.ts';
import { given, stateAfter } from './given.ts';

t.test('workspaces', async (t) => {
  const owner = { workspace: 1, account: 3 };
  const data = { workspace: 7, kind: 'project', owner, name: 'Shop', description: null } as const;
  const opened = event('WorkspaceOpened', data);
  const deleted = event('WorkspaceDeleted', { workspace: 7, owner });

  given(t, workspace)
    .when({ command: 'OpenWorkspace', ...data })
    .yields([opened]);
  given(t, workspace, [opened])
    .when({ command: 'OpenWorkspace', ...data })
    .yields('already-exists');
  given(t, workspace, [opened, deleted])
    .when({ command: 'OpenWorkspace', ...data })
    .yields('already-exists');
  given(t, workspace, [opened])
    .when({ command: 'ChangeWorkspace', workspace: 7, name: 'New' })
    .yields([event('WorkspaceChanged', { workspace: 7, name: 'New' })]);
  given(t, workspace, [opened])
    .when({ command: 'DeleteWorkspace', workspace: 7 })
    .yields([deleted], 'who owned it is told');
  for (const past of [[], [opened, deleted]]) {
    given(t, workspace, past).when({ command: 'ChangeWorkspace', workspace: 7, name: 'x' }).yields('not-found');
    given(t, workspace, past).when({ command: 'DeleteWorkspace', workspace: 7 }).yields('not-found');
  }

  const fresh = stateAfter(workspace, [opened]);
  t.match(fresh, { exists: true, deleted: false, kind: 'project', owner, name: 'Shop', createdAt: 1, updatedAt: 1 });
  const described = event('WorkspaceChanged', { workspace: 7, description: 'About' });
  t.strictSame(stateAfter(workspace, [opened, described]), { ...fresh, description: 'About', updatedAt: 2 });
  const cleared = event('WorkspaceChanged', { workspace: 7, description: null });
  t.strictSame(stateAfter(workspace, [opened, described, cleared]), { ...fresh, updatedAt: 3 });
});

t.test('keys', async (t) => {
  const ref = { workspace: 7, key: 2 };
  const data = { ...ref, name: 'API Key', mode: 'live', secretHash: 'h', rateLimit: 1_000, expiresAt: null } as const;
  const issued = event('KeyIssued', data);
  const revoked = event('KeyRevoked', ref);
  given(t, key)
    .when({ command: 'IssueKey', ...data })
    .yields([issued]);
  given(t, key, [issued])
    .when({ command: 'IssueKey', ...data })
    .yields('already-exists');
  given(t, key, [issued])
    .when({ command: 'RevokeKey', ...ref })
    .yields([revoked]);
  for (const past of [[], [issued, revoked]]) {
    given(t, key, past)
      .when({ command: 'RevokeKey', ...ref })
      .yields('not-found');
  }
  t.strictSame(stateAfter(key, [issued]), { ...data, exists: true, createdAt: 1 });
  t.equal(stateAfter(key, [issued, revoked]).exists, false);
});

t.test('connectors', async (t) => {
  const ref = { workspace: 7, connector: 4 };
  const data = { ...ref, connectorType: 'whatsapp', name: 'W', sealed: 'v1.x', senderHash: 's' } as const;
  const created = event('ConnectorCreated', data);
  const deleted = event('ConnectorDeleted', ref);
  given(t, connector)
    .when({ command: 'CreateConnector', ...data })
    .yields([created]);
  given(t, connector, [created])
    .when({ command: 'CreateConnector', ...data })
    .yields('already-exists');
  given(t, connector, [created])
    .when({ command: 'ChangeConnector', ...ref, isActive: false })
    .yields([event('ConnectorChanged', { ...ref, isActive: false })]);
  given(t, connector, [created])
    .when({ command: 'DeleteConnector', ...ref })
    .yields([deleted]);
  for (const past of [[], [created, deleted]]) {
    given(t, connector, past)
      .when({ command: 'ChangeConnector', ...ref, name: 'x' })
      .yields('connector-not-found');
    given(t, connector, past)
      .when({ command: 'DeleteConnector', ...ref })
      .yields('connector-not-found');
  }

  const fresh = stateAfter(connector, [created]);
  t.strictSame(fresh, { ...data, exists: true, isActive: true, createdAt: 1, updatedAt: 1 });
  const resealed = event('ConnectorChanged', { ...ref, sealed: 'v1.y', senderHash: null });
  t.strictSame(stateAfter(connector, [created, resealed]), {
    ...fresh,
    sealed: 'v1.y',
    senderHash: null,
    updatedAt: 2,
  });
  t.match(stateAfter(connector, [created, deleted]), { exists: false, sealed: '' }, 'the credentials are gone');
});

t.test('the catalogue of errors', async (t) => {
  for (const code of Object.keys(errorCatalogue) as ErrorCode[]) {
    const error = new DomainError(code, undefined, { retryAt: 5, details: { a: 1 } });
    t.match(error, { code, message: errorCatalogue[code].meaning, retryAt: 5, details: { a: 1 } });
    t.equal(error.retryable, code === 'rate-limited' || code === 'unavailable', code);
  }
  t.equal(new DomainError('not-found', 'no such key').message, 'no such key');
});
