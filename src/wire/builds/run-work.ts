import { z } from 'zod';

/** A value that a run is given; a secret one is shown by nothing but the details that its owner asks for. */
export const namedValueSchema = z.object({ name: z.string().min(1), value: z.string(), isSecret: z.boolean() });
export type NamedValue = z.infer<typeof namedValueSchema>;

/** Source: ACR tasks, 1.1: one Dockerfile, its image names as the person wrote them, variables still in them. */
export const dockerBuildSchema = z.object({
  kind: z.literal('dockerBuild'),
  dockerFile: z.string(),
  imageNames: z.array(z.string()),
  isPushEnabled: z.boolean(),
  noCache: z.boolean(),
  target: z.string().optional(),
  arguments: z.array(namedValueSchema),
});

/** Source: ACR tasks, 2.1: a file of steps that lies in the context. */
export const fileTaskSchema = z.object({
  kind: z.literal('fileTask'),
  taskFile: z.string(),
  valuesFile: z.string().optional(),
  values: z.array(namedValueSchema),
});

/** Source: ACR tasks, 2.12: the text of the steps comes with the request. */
export const encodedTaskSchema = z.object({
  kind: z.literal('encodedTask'),
  /** YAML, decoded. */
  content: z.string(),
  /** YAML, decoded. */
  valuesContent: z.string().optional(),
  values: z.array(namedValueSchema),
});

/** What a run does; where its files come from is said beside it. */
export const runWorkSchema = z.discriminatedUnion('kind', [dockerBuildSchema, fileTaskSchema, encodedTaskSchema]);
export type RunWork = z.infer<typeof runWorkSchema>;
export type DockerBuild = z.infer<typeof dockerBuildSchema>;

/** Source: ACR tasks, 1.2. `linux` and `amd64` where nothing is said. */
export const platformSchema = z.object({
  os: z.enum(['linux', 'windows']),
  architecture: z.enum(['amd64', 'x86', '386', 'arm', 'arm64']),
  variant: z.string().optional(),
});
/** Several make one index of images. */
export type RunPlatform = z.infer<typeof platformSchema>;

/** Part of a name that an agent reports: no agent is trusted to report what can be kept, and found again by an index. */
const reported = (maxLength: number) =>
  z
    .string()
    .max(maxLength)
    .regex(/^[!-~]*$/, 'only visible ASCII is in names');

/** Source: ACR tasks, 3.1. */
export const outputImageSchema = z.object({
  registry: reported(300),
  repository: reported(1_024),
  tag: reported(128),
  digest: reported(300),
});
export type OutputImage = z.infer<typeof outputImageSchema>;

/** An image that another one stands on. `reference` is as the Dockerfile resolved it. */
export const imageReferenceSchema = z.object({
  registry: reported(300),
  repository: reported(1_024),
  tag: reported(128).optional(),
  digest: reported(300).optional(),
  reference: reported(1_024),
});
export type ImageReference = z.infer<typeof imageReferenceSchema>;

/** Source: ACR tasks, 1.8: one for each tag that was built, or one without an image where a build has no tag. */
export const imageDependenciesSchema = z.object({
  image: imageReferenceSchema.optional(),
  runtime: imageReferenceSchema.optional(),
  buildtime: z.array(imageReferenceSchema).max(1_000),
  gitHead: reported(200).optional(),
});
export type ImageDependencies = z.infer<typeof imageDependenciesSchema>;
