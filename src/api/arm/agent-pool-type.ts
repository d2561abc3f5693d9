import { parentRegistry, refuseTooMany } from '../../features/access/registry-children.ts';
import type { Run } from '../../features/builds/run.ts';
import type { Runs } from '../../features/builds/runs.ts';
import {
  agentPoolOf,
  agentPoolType,
  checkAgentPoolName,
  validateAgentPool,
} from '../../features/builds/tasks/agent-pool.ts';
import { forgetAgentPool } from '../../features/builds/tasks/agent-pool-tokens.ts';
import { tidy } from '../../features/builds/tasks/task.ts';
import { raiseAccessEpoch } from '../../features/identity/access-epoch.ts';
import type { Resource } from '../../features/resources/resource.ts';
import { findResource } from '../../features/resources/resource-store.ts';
import { missing } from '../../features/resources/resources.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { JobRun } from '../../platform/jobs/jobs.ts';
import type { ArmType } from './arm-type.ts';

export type AgentPoolTypeParts = {
  readonly database: Database;
  readonly tenantUid: string;
  readonly clock: Clock;
  readonly builds: { readonly runs: Pick<Runs, 'list' | 'cancel' | 'countQueued'> };
};

/** A client that deletes a pool looks at it once more, and fails when it is gone by then. Source: az wire document, 2.20. */
const readableMs = 5_000;
/** Of runs that are cancelled with their pool. An agent hears of it with its next heartbeat. */
const lastWordsMs = 60_000;
const page = 500;

/** Named pools of agents. Source: Microsoft.ContainerRegistry/registries/agentPools; ACR tasks, 4.7. */
export function agentPoolArmType(parts: AgentPoolTypeParts): ArmType {
  const { kind } = parts.database;
  return {
    type: agentPoolType,
    level: 'child',
    hasLocation: true,
    hasSystemData: true,
    checkName: checkAgentPoolName,
    validate: validateAgentPool,
    apply: async ({ tx }, { resource, previous }) => {
      if (previous !== undefined) return;
      // Nobody else adds one before this transaction ends.
      await raiseAccessEpoch(tx, resource.tenantUid);
      await refuseTooMany(tx, await parentRegistry(kind, tx, resource), resource);
    },
    clear: async (resource, job) => await clearPool(parts, resource, job),
    forget: async (writing, resource) => await forgetAgentPool(parts.database, writing, resource),
    properties: (resource) => ({ ...tidy(agentPoolOf(resource)), provisioningState: resource.state }),
    actions: {
      listqueuestatus: {
        method: 'POST',
        isChange: false,
        run: async ({ resource }) => {
          const registry = await registryOf(parts, resource);
          return { count: await parts.builds.runs.countQueued(registry.uid, resource.name) };
        },
      },
    },
  };
}

/**
 * Nobody would take the runs that wait for the pool, and the tokens of its agents end with it: all of its runs are cancelled. Those
 * that an agent has begun are given a while to say their last words.
 */
async function clearPool(
  parts: AgentPoolTypeParts,
  resource: Resource,
  { signal, renew }: Pick<JobRun, 'signal' | 'renew'>,
): Promise<void> {
  const { runs } = parts.builds;
  const registry = await registryOf(parts, resource);
  const isOfPool = (run: Run) =>
    run.finishedAtMicros === undefined && run.agentPoolName?.toLowerCase() === resource.name.toLowerCase();
  const endMs = parts.clock.monotonicMs() + lastWordsMs;
  for (let isReadable = false; ; isReadable = true) {
    const left = await runs.list(registry.uid, isOfPool, page);
    for (const { runId } of left) {
      await runs.cancel(registry.uid, runId, resource.changedBy.uid);
      await renew();
    }
    if (isReadable && (left.length === 0 || parts.clock.monotonicMs() >= endMs)) return;
    await parts.clock.sleep(readableMs, signal);
    await renew();
  }
}

async function registryOf({ database, tenantUid }: AgentPoolTypeParts, { parentId }: Resource): Promise<Resource> {
  const registry = await findResource(database.read, tenantUid, parentId);
  if (registry === undefined) throw missing(parentId);
  return registry;
}
