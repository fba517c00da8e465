import type { Listing, Page } from './public.d.ts';
import type { Transport } from './transport.ts';

/**
 * A list, a page at a time; see `Listing`. The first page is asked for at once.
 *
 * @param path where it stands; what this throws, the list rejects with
 */
export function listing<T>(transport: Transport, path: () => string, query: object | undefined): Listing<T> {
  const pageOf = async (query: object | undefined) => transport.page<T>({ method: 'GET', path: path(), query });
  const first = pageOf(query);
  return Object.assign(first, {
    async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
      for (let page: Page<T> = await first; ; ) {
        yield* page.data;
        const { page: number, has_next: hasNext } = page.pagination;
        if (!hasNext) return;
        page = await pageOf({ ...query, page: number + 1 });
      }
    },
  });
}
