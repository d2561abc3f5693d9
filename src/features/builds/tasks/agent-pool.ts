import type { Transaction } from '../../../platform/database/database.ts';
import { type AgentPool, agentPoolSchema } from '../../../wire/arm/agent-pool-schema.ts';
import { parseProperties } from '../../resources/parse-properties.ts';
import { refuse } from '../../resources/refuse.ts';
import type { Desired, Resource } from '../../resources/resource.ts';
import { findResource } from '../../resources/resource-store.ts';
import type { Validation } from '../../resources/resource-type.ts';
import { tidy } from './task.ts';

export const agentPoolType = 'Microsoft.ContainerRegistry/registries/agentPools';

export function agentPoolOf({ properties }: Pick<Resource, 'properties'>): AgentPool {
  return agentPoolSchema.parse(properties);
}

/** What people call the pool that every registry has, when they make tokens for its agents. */
const sharedName = 'default';

/** Throws `resourceNameInvalid`. */
export function checkAgentPoolName(name: string): void {
  if (name.toLowerCase() === sharedName)
    throw refuse('resourceNameInvalid', {
      message: `The agent pool name '${name}' is taken: it is that of the pool that every registry has. Choose another.`,
      target: 'name',
    });
  if (/^[a-zA-Z0-9-]{3,20}$/.test(name)) return;
  throw refuse('resourceNameInvalid', {
    message: `The agent pool name '${name.slice(0, 100)}' is invalid: use 3 to 20 letters, digits and '-'.`,
    target: 'name',
  });
}

/** Throws `resourceInvalid`. The tier of a pool is chosen once. */
export function validateAgentPool({ desired, existing }: Validation): Desired {
  const pool = parseProperties(agentPoolSchema, desired.properties, 'properties');
  if (pool.virtualNetworkSubnetResourceId)
    throw refuse('resourceInvalid', {
      message:
        'Agents here are programs that are started where they are to run: there are no virtual networks to name. ' +
        'Leave the subnet out, and start the agents of the pool inside the network that they are to reach.',
      target: 'properties.virtualNetworkSubnetResourceId',
    });
  if (existing !== undefined && agentPoolOf(existing).tier !== pool.tier)
    throw refuse('resourceInvalid', {
      message: `The tier of the pool '${existing.name}' is ${agentPoolOf(existing).tier} and cannot be changed. Create another pool.`,
      target: 'properties.tier',
    });
  // A client that does not know of it and writes the pool anew does not open a network that was shut.
  const buildNetworkAccess = pool.buildNetworkAccess ?? (existing && agentPoolOf(existing).buildNetworkAccess);
  return { ...desired, sku: undefined, identity: undefined, properties: tidy({ ...pool, buildNetworkAccess }) };
}

/** Nobody would ever take the runs of a pool that the registry does not have. Throws `resourceInvalid`. */
export async function refuseUnknownPool(
  tx: Transaction,
  { tenantUid, parentId }: Pick<Resource, 'tenantUid' | 'parentId'>,
  name: string | null | undefined,
): Promise<void> {
  if (!name || (await findResource(tx, tenantUid, `${parentId}/agentPools/${name}`)) !== undefined) return;
  throw refuse('resourceInvalid', {
    message: `The registry has no agent pool '${name}'. Create it with az acr agentpool create, or leave the pool out.`,
    target: 'properties.agentPoolName',
  });
}
