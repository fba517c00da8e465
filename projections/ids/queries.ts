import type { Queryable } from '../projection.ts';
import type { CountedKind } from './apply.ts';

export type { CountedKind } from './apply.ts';

/** The highest id given to anything of a kind in a workspace, 0 for none. Workspaces are counted under workspace 0. */
export async function highestId(db: Queryable, workspace: number, kind: CountedKind): Promise<number> {
  const { rows } = await db.query<{ id: number }>({
    text: 'SELECT id FROM highest_ids WHERE workspace = $1 AND kind = $2',
    values: [workspace, kind],
  });
  return rows[0]?.id ?? 0;
}
