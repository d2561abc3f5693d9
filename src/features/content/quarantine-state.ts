import { sql } from 'kysely';
import type { Digest } from '../../core/digest.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { hotRows, ofEach } from '../../platform/database/hot-query.ts';
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
 * To be called when manifests or the copies that are kept of them have left. Of one that is neither served nor kept, only what
 * says that it did not pass stays, as long as its repository: the same bytes may be pushed again.
 */
export async function forgetPassed(tx: Transaction, repositoryUid: string, digests: readonly string[]): Promise<void> {
  const items = digests.map((digest) => ({ digest }));
  await deletePassed.ahead(tx, { repository: repositoryUid }, items);
}

const isGone = sql<boolean>`not exists (
    select 1 from manifests m
    where m.repository_uid = quarantine_states.repository_uid and m.digest = quarantine_states.digest)
  and not exists (
    select 1 from deleted_manifests k
    where k.repository_uid = quarantine_states.repository_uid and k.digest = quarantine_states.digest)`;

const deletePassed = hotRows(['repository'], ['digest'], (on, parameter, items) =>
  on
    .deleteFrom('quarantine_states')
    .where('repository_uid', '=', parameter<string>('repository'))
    .where('digest', 'in', ofEach(items, 'digest'))
    .where('state', '=', 'Passed')
    .where(isGone),
);

export function quarantineOf(
  row: { readonly state: QuarantineState | null; readonly details: string | null } | undefined,
): Quarantine {
  return { state: row?.state ?? unquarantined.state, details: row?.details ?? undefined };
}
