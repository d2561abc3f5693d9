import { z } from 'zod';

/** Sizes of agents. Source: ACR tasks, 4.7. */
const tierNames = ['S1', 'S2', 'S3', 'I6'] as const;

const networkAccess = ['Enabled', 'Disabled'] as const;

const upperCased = (value: unknown) => (typeof value === 'string' ? value.toUpperCase() : value);

/** What can be set of an agent pool. Source: Microsoft.ContainerRegistry/registries/agentPools. */
export const agentPoolSchema = z.object({
  count: z.int().min(0).max(1_000).default(1),
  tier: z.preprocess(upperCased, z.enum(tierNames).default('S1')),
  os: z.preprocess(
    (value) => (typeof value === 'string' && value.toLowerCase() === 'linux' ? 'Linux' : value),
    z.enum(['Linux'], { error: 'agents run on Linux' }).default('Linux'),
  ),
  virtualNetworkSubnetResourceId: z.string().max(1_000).nullish(),
  /** Of Berth alone: whether steps of the pool's runs reach more than the registry, as its agents and the installation let them. */
  buildNetworkAccess: z.enum(networkAccess, { error: `use ${networkAccess.join(' or ')}` }).nullish(),
});
export type AgentPool = z.infer<typeof agentPoolSchema>;
