import type { Database, Queries } from '../../platform/database/database.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import { type AuditKeys, isSigned, openAuditKeys } from './audit-keys.ts';
import { type ChainLink, type CheckpointRow, firstPrevious, linkOf, type Statement } from './audit-statement.ts';

export type CheckpointVerdict =
  | { readonly kind: 'whole'; readonly count: number; readonly statements: readonly Statement[] }
  | {
      readonly kind: 'broken';
      readonly number: number;
      readonly reason: string;
      /** What can be believed all the same. */
      readonly statements: readonly Statement[];
    };

type Parts = { readonly database: Database; readonly sealer: Sealer };
/** What the next row is to be: its number, and the hash of the one before. */
type Place = { readonly number: number; readonly previous: string };

/** Others have a turn between them: each signature takes a tenth of a millisecond. */
const pageRows = 200;

/** Reads all checkpoints and checks numbers, signatures and that each follows the one before. */
export async function verifyCheckpoints(parts: Parts): Promise<CheckpointVerdict> {
  // Those that leave meanwhile may be read, and then the gap that took their place: a fault is what is still there.
  let last = await readCheckpoints(parts);
  while (last.kind === 'broken') {
    const again = await readCheckpoints(parts);
    if (again.kind === 'broken' && again.number === last.number && again.reason === last.reason) break;
    last = again;
  }
  return last;
}

async function readCheckpoints({ database: { read }, sealer }: Parts): Promise<CheckpointVerdict> {
  const keys = await openAuditKeys(read, sealer);
  const statements: Statement[] = [];
  let next: Place = { number: 1, previous: firstPrevious };
  while (true) {
    const page = await pageFrom(read, next.number);
    for (const row of page) {
      const link = linkOf(row);
      const reason = faultOf(row, link, next, keys);
      if (link === undefined || reason !== undefined)
        return { kind: 'broken', number: next.number, reason: reason ?? malformed, statements: [] };
      if (link.statement !== undefined) statements.push(link.statement);
      next = { number: row.number + 1, previous: link.hash };
    }
    if (page.length < pageRows) return { kind: 'whole', count: statements.length, statements };
  }
}

const malformed = 'the checkpoint is malformed';

function faultOf(row: CheckpointRow, link: ChainLink | undefined, next: Place, keys: AuditKeys): string | undefined {
  if ((link?.firstNumber ?? row.number) > next.number) return 'a checkpoint is missing';
  if (!isSigned(keys, row)) return 'the signature of the checkpoint is wrong';
  if (link === undefined) return malformed;
  const isNext = link.firstNumber === next.number && link.previous === next.previous;
  return isNext ? undefined : 'the checkpoint does not follow the one before it';
}

async function pageFrom(queries: Queries, number: number): Promise<CheckpointRow[]> {
  return await queries
    .selectFrom('audit_checkpoints')
    .select(['number', 'key_uid', 'statement', 'signature'])
    .where('number', '>=', number)
    .orderBy('number')
    .limit(pageRows)
    .execute();
}
