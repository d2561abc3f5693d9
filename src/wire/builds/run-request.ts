import { z } from 'zod';
import { platformSchema } from './run-work.ts';

const text = z.string().max(2_000);
const location = z.string().min(1).max(4_000);
/** Base64 of at most 256 KiB. */
const encoded = z.base64().max(350_000);

/** Case counts for nobody: `Linux/AMD64`. */
const lowerCased = (value: unknown) => (typeof value === 'string' ? value.toLowerCase() : value);
const askedPlatformSchema = z.object({
  os: z.preprocess(lowerCased, platformSchema.shape.os.default('linux')),
  architecture: z.preprocess(lowerCased, platformSchema.shape.architecture.default('amd64')),
  variant: z.preprocess(lowerCased, z.enum(['v6', 'v7', 'v8']).exactOptional()),
});

const namedValuesSchema = z
  .array(
    z.object({
      name: z.string().min(1).max(200),
      value: z.string().max(20_000).default(''),
      isSecret: z.boolean().default(false),
    }),
  )
  .max(200)
  .default([]);

/** A run signs in to each of them before its first step. */
const maxRegistries = 100;
export const fewRegistries = `credentials are taken for at most ${maxRegistries} registries`;

export function isOfFew(registries: object): boolean {
  return Object.keys(registries).length <= maxRegistries;
}

const secretSchema = z.object({ value: z.string().max(8_000).optional(), type: text.optional() });

const credentialsSchema = z.object({
  sourceRegistry: z.object({ loginMode: text.optional(), identity: text.optional() }).optional(),
  /** By login server. */
  customRegistries: z
    .record(
      z.string().min(1).max(300),
      z.object({ userName: secretSchema.optional(), password: secretSchema.optional(), identity: text.optional() }),
    )
    .refine(isOfFew, fewRegistries)
    .optional(),
});

const common = {
  isArchiveEnabled: z.boolean().default(false),
  agentPoolName: z.string().max(50).optional(),
  logTemplate: text.optional(),
};

const ofOneRun = {
  ...common,
  timeout: z.int().min(300).max(28_800).default(3_600),
  platform: askedPlatformSchema.optional(),
  /** Ours: several make one index of images. */
  platforms: z.array(askedPlatformSchema).min(1).max(10).optional(),
  agentConfiguration: z.object({ cpu: z.int().min(1).max(64).optional() }).optional(),
  credentials: credentialsSchema.default({}),
};

export const dockerBuildRequestSchema = z.object({
  type: z.literal('DockerBuildRequest'),
  ...ofOneRun,
  sourceLocation: location,
  dockerFilePath: text.min(1),
  imageNames: z.array(text.min(1)).max(100).default([]),
  isPushEnabled: z.boolean().default(true),
  noCache: z.boolean().default(false),
  target: text.optional(),
  arguments: namedValuesSchema,
});

export const fileTaskRequestSchema = z.object({
  type: z.literal('FileTaskRunRequest'),
  ...ofOneRun,
  sourceLocation: location,
  taskFilePath: text.min(1),
  valuesFilePath: text.optional(),
  values: namedValuesSchema,
});

export const encodedTaskRequestSchema = z.object({
  type: z.literal('EncodedTaskRunRequest'),
  ...ofOneRun,
  sourceLocation: location.optional(),
  encodedTaskContent: encoded.min(1),
  encodedValuesContent: encoded.optional(),
  values: namedValuesSchema,
});

export const taskRunRequestSchema = z.object({
  type: z.literal('TaskRunRequest'),
  ...common,
  /** ARM id. */
  taskId: location,
  overrideTaskStepProperties: z
    .object({
      contextPath: location.optional(),
      file: text.optional(),
      target: text.optional(),
      arguments: namedValuesSchema,
      values: namedValuesSchema,
      updateTriggerToken: text.optional(),
    })
    .optional(),
});
export type TaskRunRequest = z.infer<typeof taskRunRequestSchema>;

/** A run that is asked for in full. */
export const quickRunRequestSchema = z.discriminatedUnion('type', [
  dockerBuildRequestSchema,
  fileTaskRequestSchema,
  encodedTaskRequestSchema,
]);
export type QuickRunRequest = z.infer<typeof quickRunRequestSchema>;

/** The body of scheduleRun. Source: az wire document, 2.18; ACR tasks, 1.1 and 4.5. */
export const runRequestSchema = z.discriminatedUnion('type', [
  dockerBuildRequestSchema,
  fileTaskRequestSchema,
  encodedTaskRequestSchema,
  taskRunRequestSchema,
]);
export type RunRequest = z.infer<typeof runRequestSchema>;

export const runUpdateSchema = z.object({
  isArchiveEnabled: z.boolean().optional(),
  /** Where other clients put it. */
  properties: z.object({ isArchiveEnabled: z.boolean().optional() }).optional(),
});
