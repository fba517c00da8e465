import path from 'node:path';
import t from 'tap';
import { breaches, checkTree } from './imports.ts';

t.test('the tree keeps the import rules', async (t) => {
  t.same(checkTree(path.resolve(import.meta.dirname, '../..')), []);
});

t.test('breaches are found', async (t) => {
  const cases: [string, string, boolean][] = [
    ['src/dialects/messagejs/a.ts', "import { x } from '../../log/log.ts';", true],
    ['src/dialects/messagejs/a.ts', "import { x } from '../chatapi/b.ts';", true],
    ['src/dialects/messagejs/a.ts', "import pg from 'pg';", true],
    ['src/dialects/messagejs/a.ts', "import type { x } from '../../../projections/keys/apply.ts';", true],
    ['src/dialects/messagejs/a.ts', "import { x } from '../../../projections/keys/queries.ts';", false],
    ['src/dialects/messagejs/a.ts', "import { x } from '../openapi.ts';", false],
    ['src/dialects/messagejs/a.ts', "import { x } from '../../readside/projector.ts';", true],
    ['src/dialects/messagejs/a.ts', "import {\n  x,\n  y,\n} from '../../delivery/dispatcher.ts';", true],
    ['src/platform/a.ts', "import { x } from '../../schemas/index.ts';", true],
    ['src/domain/a.ts', "import { x } from '../platform/ids.ts';", true],
    ['src/domain/a.ts', "import { randomUUID } from 'node:crypto';", true],
    ['src/sandbox/a.ts', "export { x } from '../commands/index.ts';", true],
    ['src/sandbox/a.ts', "import { x } from '../platform/clock.ts';", false],
    ['src/sdk/a.ts', "import { x } from '../platform/clock.ts';", true],
    ['src/garage/a.ts', '', true],
    ['src/main.ts', "import { x } from './log/log.ts';", false],
  ];
  for (const [file, source, breach] of cases) {
    t.equal(breaches(file, source).length > 0, breach, `${file}: ${source}`);
  }
});
