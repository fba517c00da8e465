import { intArray, textArray } from '../../src/platform/pg-arrays.ts';
import { keyOf } from '../fold-table.ts';
import type { Queryable } from '../projection.ts';
import { cleanOptional } from '../sql.ts';
import type { AccountRow } from './evolve.ts';

type Named = Pick<
  AccountRow,
  'workspace' | 'account' | 'display_name' | 'given_name' | 'family_name' | 'username' | 'deleted'
>;
type NameRow = Named & { readonly revision: number };

/** What accounts are called from which revision on, and whose names are to be forgotten: collected over one batch. */
export class NameChanges {
  readonly #names = new Map<string, NameRow[]>();
  readonly #gone = new Map<string, Named>();

  /** Takes in how an event changed a row. */
  note(before: Named | null, after: Named, revision: number): void {
    const key = keyOf([after.workspace, after.account]);
    if (after.deleted) {
      this.#names.delete(key);
      this.#gone.set(key, after);
      return;
    }
    if (sameNames(before, after)) return;
    const names = this.#names.get(key) ?? [];
    names.push({ ...after, revision });
    this.#names.set(key, names);
  }

  async save(client: Queryable): Promise<void> {
    if (this.#gone.size > 0) {
      const gone = [...this.#gone.values()].sort(compare);
      await client.query({
        text: `DELETE FROM account_names t USING unnest($1::int[], $2::int[]) AS u(workspace, account)
          WHERE t.workspace = u.workspace AND t.account = u.account`,
        values: [intArray(gone.map((row) => row.workspace)), intArray(gone.map((row) => row.account))],
      });
    }
    const rows = [...this.#names.values()].flat().sort((a, b) => compare(a, b) || a.revision - b.revision);
    if (rows.length === 0) return;
    await client.query({
      text: `INSERT INTO account_names (workspace, account, revision, display_name, given_name, family_name, username)
        SELECT * FROM unnest($1::int[], $2::int[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[])
        ON CONFLICT DO NOTHING`,
      values: [
        intArray(rows.map((row) => row.workspace)),
        intArray(rows.map((row) => row.account)),
        intArray(rows.map((row) => row.revision)),
        textArray(rows.map((row) => cleanOptional(row.display_name))),
        textArray(rows.map((row) => cleanOptional(row.given_name))),
        textArray(rows.map((row) => cleanOptional(row.family_name))),
        textArray(rows.map((row) => cleanOptional(row.username))),
      ],
    });
  }
}

/** As the rows hold them: what a batch loaded was cleaned, what an event says was not. */
function sameNames(a: Named | null, b: Named): boolean {
  const same = (x: string | null, y: string | null) => asHeld(x) === asHeld(y);
  return (
    same(a?.display_name ?? null, b.display_name) &&
    same(a?.given_name ?? null, b.given_name) &&
    same(a?.family_name ?? null, b.family_name) &&
    same(a?.username ?? null, b.username)
  );
}

function asHeld(name: string | null): string | null {
  return cleanOptional(name?.toWellFormed() ?? null);
}

function compare(a: Named, b: Named): number {
  return a.workspace - b.workspace || a.account - b.account;
}
