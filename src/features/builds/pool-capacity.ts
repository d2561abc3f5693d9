import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import { idKey, type Resource } from '../resources/resource.ts';
import { findByUid, findForUpdate, findResource } from '../resources/resource-store.ts';
import type { AgentPool } from './agent-tokens.ts';
import { agentPoolOf } from './tasks/agent-pool.ts';

/** Of one run. Source: ACR tasks, 4.7. */
const tiers = {
  S1: { cpus: 2, memoryMiB: 3 * 1024 },
  S2: { cpus: 4, memoryMiB: 8 * 1024 },
  S3: { cpus: 8, memoryMiB: 16 * 1024 },
  I6: { cpus: 64, memoryMiB: 216 * 1024 },
} as const;

/**
 * Whether a run of the pool may begin: a named one has at most `count` at work, whoever asks for them; one that is being
 * deleted begins none. Nobody else begins one before the transaction ends.
 */
export async function hasRoom(tx: Transaction, kind: Database['kind'], pool: AgentPool): Promise<boolean> {
  if (pool.key === '') return true;
  const at = await poolId(tx, pool);
  const found = at && (await findForUpdate(kind, tx, at.tenantUid, at.id));
  if (found === undefined || found.state === 'Deleting') return false;
  const { atWork } = await tx
    .selectFrom('runs')
    .select((select) => select.fn.countAll<number | string>().as('atWork'))
    .where('pool_key', '=', pool.key)
    .where('registry_uid', '=', pool.registryUid)
    .where('finished_at', 'is', null)
    .where('status', '<>', 'Queued')
    .executeTakeFirstOrThrow();
  return Number(atWork) < agentPoolOf(found).count;
}

export type PoolTerms = {
  /** Instead of what the run asked for and the installation gives. */
  readonly limits?: { readonly cpus: number; readonly memoryMiB: number };
  readonly hasNetwork: boolean;
};

/** What runs of a pool may use: of the pool that every registry has, what the installation gives; of one that is gone, no network. */
export async function poolTerms(queries: Queries, pool: AgentPool): Promise<PoolTerms> {
  if (pool.key === '') return { hasNetwork: true };
  const at = await poolId(queries, pool);
  const found = at && (await findResource(queries, at.tenantUid, at.id));
  if (found === undefined) return { hasNetwork: false };
  const { tier, buildNetworkAccess } = agentPoolOf(found);
  return { limits: tiers[tier], hasNetwork: buildNetworkAccess !== 'Disabled' };
}

async function poolId(
  queries: Queries,
  { registryUid, key }: AgentPool,
): Promise<Pick<Resource, 'tenantUid' | 'id'> | undefined> {
  const registry = await findByUid(queries, registryUid);
  return registry && { tenantUid: registry.tenantUid, id: idKey(`${registry.id}/agentPools/${key}`) };
}
