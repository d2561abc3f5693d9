import { z } from 'zod';

/** Answer of `POST /admin/gc`. */
export const collectedSchema = z.object({ blobs: z.number(), bytes: z.number() });
export type CollectedView = z.infer<typeof collectedSchema>;

/** Answer of `GET /admin/registries/{name}/gc/{digest}`: why a blob is kept. */
export const blobExplanationSchema = z.object({
  digest: z.string(),
  sizeBytes: z.number(),
  state: z.enum(['ready', 'damaged']),
  createdAt: z.string(),
  /** Until then it stays although nothing references it. */
  graceUntil: z.string(),
  /** Repositories that show it. */
  repositories: z.array(z.string()),
  /** At most the first hundred. */
  references: z.array(
    z.object({
      repository: z.string(),
      manifest: z.string(),
      tags: z.array(z.string()),
      /** Kept to be restored. */
      isDeleted: z.boolean(),
    }),
  ),
  referenceCount: z.number(),
});
export type BlobExplanationView = z.infer<typeof blobExplanationSchema>;

/** Answer of `GET /admin/scrub` and `POST /admin/scrub`; all is null before the first walk. */
export const scrubSchema = z.object({
  beganAt: z.string().nullable(),
  /** Null while the walk goes on. */
  endedAt: z.string().nullable(),
  blobs: z.number(),
  bytes: z.number(),
  damaged: z.number(),
});
export type ScrubView = z.infer<typeof scrubSchema>;

/** Body of `POST /admin/registries/{name}/drop-deleted`: what was deleted of this repository goes for good. */
export const dropDeletedSchema = z.strictObject({ repository: z.string() });
export const droppedSchema = z.object({ manifests: z.number() });
export type DroppedView = z.infer<typeof droppedSchema>;
