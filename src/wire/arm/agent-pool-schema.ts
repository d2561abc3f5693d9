import { z } from 'zod';

/** What one agent of a tier has. Source: ACR tasks, 4.7. */
export const agentTiers = {
  S1: { cpus: 2, memoryMiB: 3 * 1024 },
  S2: { cpus: 4, memoryMiB: 8 * 1024 },
  S3: { cpus: 8, memoryMiB: 16 * 1024 },
  I6: { cpus: 64, memoryMiB: 216 * 1024 },
} as const;
export type AgentTier = keyof typeof agentTiers;
const tierNames = ['S1', 'S2', 'S3', 'I6'] as const;

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
});
export type AgentPool = z.infer<typeof agentPoolSchema>;
