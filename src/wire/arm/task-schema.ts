import { z } from 'zod';
import { platformSchema } from '../builds/run-work.ts';

/** Words that clients spell in any case; stored as listed here. */
function word<const Words extends readonly [string, ...string[]]>(...words: Words) {
  const byKey = new Map(words.map((each) => [each.toLowerCase(), each]));
  const spelled = (value: unknown) => (typeof value === 'string' ? (byKey.get(value.toLowerCase()) ?? value) : value);
  return z.preprocess(spelled, z.enum(words));
}

const status = word('Enabled', 'Disabled');
const text = z.string().max(2_000);
const location = z.string().max(4_000);
const token = z.string().max(8_000);
/** Base64 of at most 256 KiB. */
const encoded = z.base64().max(350_000);

const argumentSchema = z.object({
  name: z.string().min(1).max(200),
  /** Left out of what is shown when it is secret. */
  value: z.string().max(20_000).nullish(),
  isSecret: z.boolean().nullish(),
});
const argumentsSchema = z.array(argumentSchema).max(200).nullish();

const commonStep = { contextPath: location.nullish(), contextAccessToken: token.nullish() };

/** Source: ACR tasks, 2.1; az wire document, 2.21. */
export const taskStepSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('Docker'),
    ...commonStep,
    imageNames: z.array(text.min(1)).max(100).nullish(),
    isPushEnabled: z.boolean().nullish(),
    noCache: z.boolean().nullish(),
    dockerFilePath: text.min(1),
    target: text.nullish(),
    arguments: argumentsSchema,
  }),
  z.object({
    type: z.literal('FileTask'),
    ...commonStep,
    taskFilePath: text.min(1),
    valuesFilePath: text.nullish(),
    values: argumentsSchema,
  }),
  z.object({
    type: z.literal('EncodedTask'),
    ...commonStep,
    encodedTaskContent: encoded.min(1),
    encodedValuesContent: encoded.nullish(),
    values: argumentsSchema,
  }),
]);
export type TaskStep = z.infer<typeof taskStepSchema>;

const triggerName = z.string().min(1).max(100);

const timerTriggerSchema = z.object({
  name: triggerName,
  schedule: z.string().min(1).max(200),
  status: status.default('Enabled'),
});
export type TimerTrigger = z.infer<typeof timerTriggerSchema>;

const sourceTriggerSchema = z.object({
  name: triggerName,
  status: status.default('Enabled'),
  sourceTriggerEvents: z.array(word('commit', 'pullrequest')).min(1).max(10),
  sourceRepository: z.object({
    sourceControlType: word('Github', 'VisualStudioTeamService').default('Github'),
    repositoryUrl: location.min(1),
    branch: z.string().max(500).nullish(),
    sourceControlAuthProperties: z
      .object({
        tokenType: word('PAT', 'OAuth').nullish(),
        token: token.nullish(),
        refreshToken: token.nullish(),
        scope: text.nullish(),
        expiresIn: z.int().nullish(),
      })
      .nullish(),
  }),
});
export type SourceTrigger = z.infer<typeof sourceTriggerSchema>;

function hasNoCredentials(address: string): boolean {
  const url = URL.parse(address);
  return url === null || (url.username === '' && url.password === '');
}

const baseImageTriggerSchema = z.object({
  name: triggerName,
  status: status.default('Enabled'),
  baseImageTriggerType: word('Runtime', 'All').default('Runtime'),
  updateTriggerEndpoint: z
    .url({ protocol: /^https?$/, error: 'an address that begins with http:// or https:// is needed' })
    .max(4_000)
    .refine(
      hasNoCredentials,
      'an address cannot hold a user name and password: what is secret goes into its path or query',
    )
    .nullish(),
  updateTriggerPayloadType: word('Default', 'Token').nullish(),
});
export type BaseImageTrigger = z.infer<typeof baseImageTriggerSchema>;

const secretSchema = z.object({ type: word('Opaque', 'Vaultsecret').nullish(), value: token.nullish() });

/** Source: ACR tasks, 4.6. */
export const taskCredentialsSchema = z.object({
  sourceRegistry: z
    .object({ loginMode: word('Default', 'None').nullish(), identity: z.string().max(200).nullish() })
    .nullish(),
  /** By login server. */
  customRegistries: z
    .record(
      z.string().min(1).max(300),
      z.object({
        userName: secretSchema.nullish(),
        password: secretSchema.nullish(),
        identity: z.string().max(200).nullish(),
      }),
    )
    .nullish(),
});
export type TaskCredentials = z.infer<typeof taskCredentialsSchema>;

const lowerCased = (value: unknown) => (typeof value === 'string' ? value.toLowerCase() : value);
const lowerCasedMembers = (value: unknown) =>
  typeof value === 'object' && value !== null
    ? Object.fromEntries(
        Object.entries(value)
          .filter(([, each]) => each !== null)
          .map(([name, each]) => [name, lowerCased(each)]),
      )
    : value;

/** What can be set of a task. Source: Microsoft.ContainerRegistry/registries/tasks. */
export const taskPropertiesSchema = z.object({
  status: status.default('Enabled'),
  platform: z.preprocess(
    lowerCasedMembers,
    z
      .object({
        os: platformSchema.shape.os.default('linux'),
        architecture: platformSchema.shape.architecture.default('amd64'),
        variant: z.enum(['v6', 'v7', 'v8']).nullish(),
      })
      .nullish(),
  ),
  agentConfiguration: z.object({ cpu: z.int().min(1).max(64).nullish() }).nullish(),
  agentPoolName: z.string().max(20).nullish(),
  timeout: z.int().min(300).max(28_800).default(3_600),
  step: taskStepSchema.nullish(),
  trigger: z
    .object({
      timerTriggers: z.array(timerTriggerSchema).max(50).nullish(),
      sourceTriggers: z.array(sourceTriggerSchema).max(10).nullish(),
      baseImageTrigger: baseImageTriggerSchema.nullish(),
    })
    .nullish(),
  credentials: taskCredentialsSchema.nullish(),
  logTemplate: text.nullish(),
  isSystemTask: z.boolean().default(false),
});
export type TaskProperties = z.infer<typeof taskPropertiesSchema>;
