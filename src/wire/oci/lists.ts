import { z } from 'zod';

/** Source: OCI distribution specification, "Listing tags". */
export const tagListSchema = z.object({ name: z.string(), tags: z.array(z.string()) });
export type TagList = z.infer<typeof tagListSchema>;

/** Source: Docker registry HTTP API, "Listing repositories". */
export const catalogSchema = z.object({ repositories: z.array(z.string()) });
export type Catalog = z.infer<typeof catalogSchema>;

/** Source: OCI distribution specification, "Listing referrers"; OCI image specification, "Image index". */
export const referrerListSchema = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.literal('application/vnd.oci.image.index.v1+json'),
  manifests: z.array(
    z.object({
      mediaType: z.string(),
      digest: z.string(),
      size: z.int().nonnegative(),
      artifactType: z.string().optional(),
      annotations: z.record(z.string(), z.string()).optional(),
    }),
  ),
});
export type ReferrerList = z.infer<typeof referrerListSchema>;

/** Source: OCI distribution specification, "Error codes". */
export const errorListSchema = z.object({
  errors: z.array(z.object({ code: z.string(), message: z.string(), detail: z.unknown().optional() })),
});
export type ErrorList = z.infer<typeof errorListSchema>;
