import { sql } from 'kysely';
import type { Database, Queries } from '../../platform/database/database.ts';
import type { AuditRecord } from './audit-record.ts';

type Named = Pick<AuditRecord, 'identity' | 'principal'>;

/** Accesses carry the uid of who they are by: gives them the name, where that principal is still there. */
export async function withNames<Row extends Named>(
  kind: Database['kind'],
  queries: Queries,
  records: readonly Row[],
): Promise<Row[]> {
  const uids = [...new Set(records.map(({ principal }) => principal))].filter(isStorable);
  if (uids.length === 0) return [...records];
  // One parameter, however many they are.
  const list = JSON.stringify(uids);
  const listed =
    kind === 'sqlite'
      ? sql<string>`(select value from json_each(${list}))`
      : sql<string>`(select jsonb_array_elements_text(cast(${list} as jsonb)))`;
  const rows = await queries
    .selectFrom('principals')
    .select(['uid', 'display_name'])
    .where('uid', 'in', listed)
    .execute();
  const names = new Map(rows.map((row) => [row.uid, row.display_name]));
  return records.map((record) => ({ ...record, identity: names.get(record.principal) ?? record.identity }));
}

/** Not every text that somebody was denied with is one for the database; none of those is a uid. */
function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\u0000');
}
