import type { Clock } from '../../platform/clock.ts';
import type { Database, Queries } from '../../platform/database/database.ts';
import type { JobKind } from '../../platform/jobs/jobs.ts';
import type { Journal } from '../../platform/journal/journal.ts';
import { tellResource } from '../resources/resource-events.ts';
import { deleteResource, findByUid } from '../resources/resource-store.ts';
import { forgetRoleAssignment } from './role-assignments.ts';

export type OrphanParts = { readonly database: Database; readonly journal: Journal; readonly clock: Clock };

const everyMs = 60_000;
const slice = 500;
const installation = { uid: 'installation', name: 'installation', kind: 'Application' } as const;

/**
 * Deletes the assignments of principals that are gone, a minute later at most. They gave nobody anything meanwhile, as ids of
 * principals are never used again.
 */
export function roleOrphansJob(parts: OrphanParts): JobKind {
  const run = async () => {
    for (const uid of await listOrphans(parts.database.read)) await removeOrphan(parts, uid);
  };
  return { kind: 'access.orphans', run, leaseMs: 60_000, maxAttempts: 3, everyMs };
}

async function removeOrphan({ journal, clock }: OrphanParts, uid: string): Promise<void> {
  await journal.transaction(async (tx, append) => {
    const resource = await findByUid(tx, uid);
    if (resource === undefined) return;
    await forgetRoleAssignment(tx, resource);
    await deleteResource(tx, uid);
    const gone = {
      ...resource,
      state: 'Deleting',
      changedBy: installation,
      changedAtMicros: clock.nowMicros(),
    } as const;
    tellResource(append, 'resource.deleted', gone);
  });
}

async function listOrphans(queries: Queries): Promise<string[]> {
  const rows = await queries
    .selectFrom('role_assignments as a')
    .leftJoin('principals as p', 'p.uid', 'a.principal_uid')
    .leftJoin('user_groups as g', 'g.uid', 'a.principal_uid')
    .where('p.uid', 'is', null)
    .where('g.uid', 'is', null)
    .select('a.uid')
    .limit(slice)
    .execute();
  return rows.map((row) => row.uid);
}
