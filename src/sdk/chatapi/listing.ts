import type { Listing, Page } from './public.d.ts';
import type { Call, Transport } from './transport.ts';

/** A list, a page at a time; see `Listing`. The first page is asked for at once. */
export function listing<T>(transport: Transport, call: Call): Listing<T> {
  const pageOf = (query: object | undefined) => transport.page<T>({ ...call, query });
  const first = pageOf(call.query);
  return Object.assign(first, {
    async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
      for (let page: Page<T> = await first; ; ) {
        yield* page.data;
        const { page: number, has_next: hasNext } = page.pagination;
        if (!hasNext) return;
        page = await pageOf({ ...call.query, page: number + 1 });
      }
    },
  });
}
