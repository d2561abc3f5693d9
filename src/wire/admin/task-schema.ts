import { z } from 'zod';

/** Answer of `GET /admin/registries/{name}/task-graph`: which images stand on which, by the tasks that make them. */
export const taskGraphSchema = z.object({
  tasks: z.array(
    z.object({
      name: z.string(),
      /** `registry/repository:tag`. */
      makes: z.array(z.string()),
      standsOn: z.array(
        z.object({ image: z.string(), kind: z.enum(['runtime', 'buildtime']), digest: z.string().nullable() }),
      ),
      /** Tasks that make what it stands on. */
      waitsFor: z.array(z.string()),
    }),
  ),
});
export type TaskGraphView = z.infer<typeof taskGraphSchema>;

/** Body of `POST /admin/registries/{name}/task-rebuild`: one of the two. */
export const taskRebuildRequestSchema = z.union([
  z.strictObject({ task: z.string().min(1).max(100) }),
  z.strictObject({ image: z.string().min(1).max(1_000) }),
]);
export type TaskRebuildRequest = z.infer<typeof taskRebuildRequestSchema>;

/** Its answer: in the order in which they are done. */
export const taskRebuildSchema = z.object({
  steps: z.array(z.object({ task: z.string(), waitsFor: z.array(z.string()) })),
});
export type TaskRebuildView = z.infer<typeof taskRebuildSchema>;

/** Answer of `GET /admin/registries/{name}/task-aliases`: what bare words stand for in a `cmd`. */
export const taskAliasesSchema = z.object({
  aliases: z.array(
    z.object({
      name: z.string(),
      image: z.string(),
      /** Null for an image of a registry elsewhere: nobody looks there. */
      isThere: z.boolean().nullable(),
    }),
  ),
});
export type TaskAliasesView = z.infer<typeof taskAliasesSchema>;

/** Answer of `GET /admin/registries/{name}/tasks/{task}/webhooks`: what a git host has to be told to call. */
export const taskWebhooksSchema = z.object({
  webhooks: z.array(
    z.object({
      trigger: z.string(),
      repository: z.string(),
      /** Null where this installation has no address that a git host could call. */
      url: z.string().nullable(),
      secret: z.string(),
      /** Whether this server made it at the host. */
      isMade: z.boolean(),
      problem: z.string().nullable(),
    }),
  ),
});
export type TaskWebhooksView = z.infer<typeof taskWebhooksSchema>;
