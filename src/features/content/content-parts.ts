import type { BlobStore } from '../../platform/blob-store/blob-store.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Failpoint } from '../../platform/failpoints.ts';
import type { Ids } from '../../platform/ids.ts';
import type { Log } from '../../platform/log.ts';
import type { AuthorizedChange } from './authorized-change.ts';
import type { StorageLimits } from './storage-use.ts';

/** What everything that changes content works with. */
export type ContentParts = {
  readonly database: Database;
  readonly change: AuthorizedChange;
  readonly store: BlobStore;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly failpoint: Failpoint;
  /** No limits when absent. */
  readonly storageLimits?: StorageLimits;
};
