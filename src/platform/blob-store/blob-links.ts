import type { StorageKey } from './blob-store.ts';

/**
 * The ability of some stores to let a client fetch a blob from them directly: an address that names one finished blob, is good for
 * GET alone, and ends by itself. Asks nothing of the store. Whoever has the address needs no other right, so it goes into no log.
 */
export type BlobLinks = {
  readonly linkTo: (key: StorageKey, lifeSeconds: number) => Promise<string>;
};
