import type { Queries } from '../../platform/database/database.ts';
import type { AuditRecord } from './audit-record.ts';

/** Accesses carry the uid of who they are by: gives them the name, where that principal is still there. */
export async function withNames(queries: Queries, records: readonly AuditRecord[]): Promise<AuditRecord[]> {
  const uids = [...new Set(records.map(({ principal }) => principal))];
  if (uids.length === 0) return [];
  const rows = await queries
    .selectFrom('principals')
    .select(['uid', 'display_name'])
    .where('uid', 'in', uids)
    .execute();
  const names = new Map(rows.map((row) => [row.uid, row.display_name]));
  return records.map((record) => ({ ...record, identity: names.get(record.principal) ?? record.identity }));
}
