import type { Transaction } from '../../platform/database/database.ts';

/** Keeps statements far below the parameter limits of both databases. */
const digestsPerStatement = 500;

/**
 * Notes that manifests may be without a tag from now on, for the policy that deletes such ones after a while. What refers to
 * a manifest that is here is left out: it leaves with that one.
 */
export async function markUntagged(
  tx: Transaction,
  at: { readonly registryUid: string; readonly repositoryUid: string },
  digests: readonly string[],
  nowMicros: number,
): Promise<void> {
  for (let start = 0; start < digests.length; start += digestsPerStatement) {
    const some = tx
      .selectFrom('manifests as m')
      .where('m.repository_uid', '=', at.repositoryUid)
      .where('m.digest', 'in', digests.slice(start, start + digestsPerStatement))
      .where((where) =>
        where.not(
          where.exists(
            where
              .selectFrom('manifests as s')
              .whereRef('s.repository_uid', '=', 'm.repository_uid')
              .whereRef('s.digest', '=', 'm.subject_digest')
              .select('s.digest'),
          ),
        ),
      )
      .select((select) => [
        'm.repository_uid',
        'm.digest',
        select.val(at.registryUid).as('registry_uid'),
        select.cast<number>(select.val(nowMicros), 'bigint').as('since'),
      ]);
    await tx
      .insertInto('untagged_manifests')
      .columns(['repository_uid', 'digest', 'registry_uid', 'since'])
      .expression(some)
      .onConflict((conflict) =>
        conflict
          .columns(['repository_uid', 'digest'])
          .doUpdateSet({ since: (excluded) => excluded.ref('excluded.since') }),
      )
      .execute();
  }
}
