import type { Transaction } from '../../platform/database/database.ts';

/** Keeps statements far below the parameter limits of both databases. */
const digestsPerStatement = 500;

/**
 * Notes that manifests may be without a tag from now on, for the policy that deletes such ones after a while. The policy
 * looks again when they are due: what has a tag, is part of an index, or refers to a manifest that is here, stays.
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
