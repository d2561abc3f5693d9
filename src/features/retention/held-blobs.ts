import { type Expression, type SqlBool, sql } from 'kysely';

/** Whether a manifest of the repository references the blob. The one place that knows what keeps a blob. */
export function isHeld(repositoryUid: Expression<string | null>, digest: Expression<string>): Expression<SqlBool> {
  return sql<SqlBool>`exists (select 1 from manifest_references h where h.repository_uid = ${repositoryUid} and h.digest = ${digest} and h.kind = 'blob')`;
}
