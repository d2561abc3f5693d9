import { z } from 'zod';

/** Body of `POST /admin/agent-tokens`. `default` is the pool that every registry has; any other belongs to a registry. */
export const agentTokenCreateSchema = z.strictObject({
  pool: z.string().regex(/^[a-zA-Z0-9-]{3,20}$/, 'the name of an agent pool has 3 to 20 letters, digits and hyphens'),
  registry: z.string().max(50).optional(),
});
export type AgentTokenCreate = z.infer<typeof agentTokenCreateSchema>;

/** Told once. */
export const newAgentTokenSchema = z.object({ id: z.string(), token: z.string() });
export type NewAgentToken = z.infer<typeof newAgentTokenSchema>;

export const agentTokenSchema = z.object({
  id: z.string(),
  pool: z.string(),
  /** Null for the pool that every registry has. */
  registry: z.string().nullable(),
  createdAt: z.string(),
});
export type AgentTokenView = z.infer<typeof agentTokenSchema>;

export const agentTokenListSchema = z.object({ tokens: z.array(agentTokenSchema) });
export const agentTokenGoneSchema = z.object({ id: z.string() });
