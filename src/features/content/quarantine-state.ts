import type { Digest } from '../../core/digest.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { hotStatement } from '../../platform/database/hot-query.ts';
import type { QuarantineState } from '../../wire/acr/attributes-schema.ts';

/** What a scanner says of a manifest; details are JSON, as it wrote it. */
export type Quarantine = { readonly state: QuarantineState; readonly details: string | undefined };

/** What is left out stays. */
export type QuarantineChange = {
  readonly state?: QuarantineState | undefined;
  readonly details?: string | undefined;
};

/** Of a manifest of which no scanner has said anything. */
export const unquarantined: Quarantine = { state: 'Passed', details: undefined };

/** Answers what holds then; undefined when nothing changes. */
export async function changeQuarantine(
  tx: Transaction,
  { repositoryUid, digest }: { readonly repositoryUid: string; readonly digest: Digest },
  change: QuarantineChange,
): Promise<Quarantine | undefined> {
  const row = await tx
    .selectFrom('quarantine_states')
    .where('repository_uid', '=', repositoryUid)
    .where('digest', '=', digest)
    .select(['state', 'details'])
    .executeTakeFirst();
  const before = quarantineOf(row);
  const state = change.state ?? before.state;
  const details = change.details ?? before.details;
  if (state === before.state && details === before.details) return undefined;
  const values = { state, details: details ?? null };
  await tx
    .insertInto('quarantine_states')
    .values({ repository_uid: repositoryUid, digest, ...values })
    .onConflict((conflict) => conflict.columns(['repository_uid', 'digest']).doUpdateSet(values))
    .execute();
  return { state, details };
}

/**
 * To be called when a manifest or the copy that is kept of it has left. Of one that is neither served nor kept, only what says
 * that it did not pass stays, as long as its repository: the same bytes may be pushed again.
 */
export async function forgetPassed(tx: Transaction, repositoryUid: string, digest: string): Promise<void> {
  await deletePassed.ahead(tx, { repository: repositoryUid, digest });
}

const deletePassed = hotStatement(['repository', 'digest'], (on, parameter) => {
  const left = (table: 'manifests' | 'deleted_manifests') =>
    on
      .selectFrom(table)
      .where('repository_uid', '=', parameter<string>('repository'))
      .where('digest', '=', parameter<string>('digest'))
      .select('digest');
  return on
    .deleteFrom('quarantine_states')
    .where('repository_uid', '=', parameter<string>('repository'))
    .where('digest', '=', parameter<string>('digest'))
    .where('state', '=', 'Passed')
    .where((where) => where.not(where.or([where.exists(left('manifests')), where.exists(left('deleted_manifests'))])));
});

export function quarantineOf(
  row: { readonly state: QuarantineState | null; readonly details: string | null } | undefined,
): Quarantine {
  return { state: row?.state ?? unquarantined.state, details: row?.details ?? undefined };
}
