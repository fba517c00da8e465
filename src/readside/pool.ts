import type pg from 'pg';
import { openPool } from '../platform/postgres.ts';

/** A pool for queries of projections: unqualified names mean the schema `read`, and a statement may take 10 s at most. */
export function readPool(url: string, options: { readonly maxConnections?: number } = {}): pg.Pool {
  return openPool({
    url,
    name: 'read',
    maxConnections: options.maxConnections ?? 8,
    searchPath: 'read',
    statementTimeoutMs: 10_000,
  });
}
