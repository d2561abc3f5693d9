import { z } from 'zod';
import { maxVaultSecrets, vaultSecretSchema } from '../tasks/vault-secret.ts';
import { imageDependenciesSchema, outputImageSchema, platformSchema, runWorkSchema } from './run-work.ts';

/**
 * How an agent and the server speak, all of it opened by the agent, with its pool's token as bearer:
 *
 *     POST /agent/v1/lease                       LeaseRequest → 200 RunOrder, or 204 after up to 25 s without work
 *     GET  /agent/v1/leases/{lease}/context      the archive of the run's files, as it was uploaded
 *     POST /agent/v1/leases/{lease}/log?offset=N bytes of the log that begin there → 200 LeaseState; 409 LogOffset where another offset is next
 *     POST /agent/v1/leases/{lease}/heartbeat    → 200 LeaseState
 *     POST /agent/v1/leases/{lease}/command      BuiltInCommand → 200 lines of BuiltInLine (JSON, one a line), the last with `exitCode`
 *     POST /agent/v1/leases/{lease}/secrets      VaultSecretsRequest → 200 VaultSecrets
 *     POST /agent/v1/leases/{lease}/finish       RunResult → 204
 *
 * A lease that is not renewed in time, or that was taken away, answers 410: the agent ends the run, removes what is left of
 * it and says no more of it. A lease is renewed by every call.
 */
export const leaseRequestSchema = z.object({
  /** Names the process in logs and lists: `host-1234`. */
  agent: z.string().min(1).max(100),
  executor: z.string().max(100),
  /** How runs are kept apart: `user-namespace`, `namespaces`, `chroot`. */
  isolation: z.string().max(100),
  platforms: z.array(platformSchema).min(1).max(50),
  /** Runs of pull requests from forks would fail here: others may take them. */
  refusesStrangers: z.boolean().exactOptional(),
});
export type LeaseRequest = z.infer<typeof leaseRequestSchema>;

/** Where the files of a run come from. `remote`: a git address, an archive or `oci://…`, as the person wrote it. */
export const runSourceSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('none') }),
  z.object({ kind: z.literal('upload') }),
  z.object({
    kind: z.literal('remote'),
    location: z.string(),
    /** A commit that a trigger named, instead of the location's branch. */
    commit: z.string().optional(),
    accessToken: z.string().optional(),
  }),
]);
export type RunSource = z.infer<typeof runSourceSchema>;

export const registryCredentialSchema = z.object({ server: z.string(), username: z.string(), password: z.string() });
export type RegistryCredential = z.infer<typeof registryCredentialSchema>;

/** What steps may read of their run. Source: ACR tasks, 2.9. */
export const runVariablesSchema = z.object({
  ID: z.string(),
  Registry: z.string(),
  RegistryName: z.string(),
  /** `yyyyMMdd-HHmmssz`. */
  Date: z.string(),
  OS: z.string(),
  Architecture: z.string(),
  Commit: z.string(),
  Branch: z.string(),
  Repository: z.string(),
  GitTag: z.string(),
  TriggeredBy: z.string(),
  TaskName: z.string(),
});
export type RunVariables = z.infer<typeof runVariablesSchema>;

export const runLimitsSchema = z.object({
  cpus: z.number().positive(),
  memoryMiB: z.int().positive(),
  diskMiB: z.int().positive(),
  processes: z.int().positive(),
  logBytes: z.int().positive(),
});
export type RunLimits = z.infer<typeof runLimitsSchema>;

/** One run, handed to one agent. */
export const runOrderSchema = z.object({
  /** Secret: whoever has it speaks for the run. */
  lease: z.string(),
  /** Without a call for so long the run is given to another. */
  leaseSeconds: z.number().positive(),
  runId: z.string(),
  /** From 1; the log of an earlier attempt stays, `logOffset` is where this one goes on. */
  attempt: z.int().positive(),
  logOffset: z.int().nonnegative(),
  timeoutSeconds: z.int().positive(),
  work: runWorkSchema,
  source: runSourceSchema,
  platforms: z.array(platformSchema).min(1),
  variables: runVariablesSchema,
  /** Every one is signed in to before the first step; the run's own registry is among them unless its task said `None`. */
  credentials: z.array(registryCredentialSchema),
  /** Where the run's own registry is reached: `https://host:port`, and the authority that signed its certificate (PEM). */
  registryUrl: z.string(),
  caCertificate: z.string().optional(),
  /** Other registries of the installation that everybody may pull from: the run needs no credentials to stand on their images. */
  publicServers: z.array(z.string()).optional(),
  /** What bare words stand for as the first of a `cmd`; without it, repositories of the run's registry below `acr/`. */
  imageAliases: z.array(z.object({ name: z.string(), image: z.string() })).optional(),
  /** Whether RUN and cmd steps reach more than the registry. */
  hasNetwork: z.boolean(),
  limits: runLimitsSchema,
  /** Texts that the log must not show. */
  masked: z.array(z.string()),
});
export type RunOrder = z.infer<typeof runOrderSchema>;

export const leaseStateSchema = z.object({ isCanceled: z.boolean(), leaseSeconds: z.number().positive() });
export type LeaseState = z.infer<typeof leaseStateSchema>;

export const logOffsetSchema = z.object({ offset: z.int().nonnegative() });

/** A command that the server does itself with the run's rights: `acr purge …`, in words. */
export const builtInCommandSchema = z.object({ words: z.array(z.string().max(16_000)).min(1).max(10_000) });
export type BuiltInCommand = z.infer<typeof builtInCommandSchema>;

export const builtInLineSchema = z.union([z.object({ line: z.string() }), z.object({ exitCode: z.int() })]);
export type BuiltInLine = z.infer<typeof builtInLineSchema>;

/** Secrets of key vaults that the run's task file names: the server reads them as an identity of the task. */
export const vaultSecretsRequestSchema = z.object({ secrets: z.array(vaultSecretSchema).min(1).max(maxVaultSecrets) });
export type VaultSecretsRequest = z.infer<typeof vaultSecretsRequestSchema>;

export const vaultSecretsSchema = z.union([
  z.object({
    values: z.array(z.object({ id: z.string(), value: z.string() })),
    /** More texts that the log must not show. */
    masked: z.array(z.string()),
  }),
  /** Why the run has none of them, for its log. */
  z.object({ refusal: z.string() }),
]);
export type VaultSecrets = z.infer<typeof vaultSecretsSchema>;

/** What is kept of the lists and the text that an agent reports; a run that made more has ended all the same. */
const [maxReported, maxMessageLength] = [1_000, 4_000];
/** More than any machine has: 1,024 processors for the longest run. */
const maxCpuSeconds = 1_024 * 28_800;

/** `Failed`: a step ended with an error; `Error`: the run could not be done. Source: ACR tasks, 3.1. */
export const runResultSchema = z.object({
  status: z.enum(['Succeeded', 'Failed', 'Error', 'Timeout', 'Canceled']),
  message: z
    .string()
    .overwrite((text) => text.slice(0, maxMessageLength))
    .optional(),
  images: z.array(outputImageSchema).overwrite((list) => list.slice(0, maxReported)),
  dependencies: z.array(imageDependenciesSchema).overwrite((list) => list.slice(0, maxReported)),
  cpuSeconds: z
    .number()
    .nonnegative()
    .overwrite((seconds) => Math.min(seconds, maxCpuSeconds))
    .optional(),
});
export type RunResult = z.infer<typeof runResultSchema>;
