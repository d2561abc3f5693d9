import type { RunSource } from '../../wire/builds/agent-protocol.ts';
import type { ImageDependencies, OutputImage, RunPlatform, RunWork } from '../../wire/builds/run-work.ts';
import type { VaultSecret } from '../../wire/tasks/vault-secret.ts';

/** Source: ACR tasks, 3.1. The last five are final. */
export const runStatuses = [
  'Queued',
  'Started',
  'Running',
  'Succeeded',
  'Failed',
  'Canceled',
  'Error',
  'Timeout',
] as const;
export type RunStatus = (typeof runStatuses)[number];

/** Quick: asked for in full by a person; auto: of a task. Build: a Dockerfile; run: steps. */
export type RunType = 'QuickBuild' | 'QuickRun' | 'AutoBuild' | 'AutoRun';

/** Why a run was begun. Source: ACR tasks, 3.1. */
export type RunTrigger =
  | { readonly kind: 'manual' }
  | {
      readonly kind: 'source';
      readonly id: string;
      readonly eventType: 'commit' | 'pullrequest';
      readonly commitId: string;
      readonly pullRequestId?: string;
      readonly repositoryUrl: string;
      readonly branchName: string;
      readonly providerType: string;
    }
  | { readonly kind: 'image'; readonly id: string; readonly timestamp: string; readonly images: readonly OutputImage[] }
  | { readonly kind: 'timer'; readonly timerTriggerName: string; readonly scheduleOccurrence: string };

/** A registry other than the run's own, and how to sign in there. Values are secrets: kept sealed. */
export type CustomRegistry = {
  readonly server: string;
  readonly username?: string;
  readonly password?: string;
  /** Those of the two that a key vault keeps: read when an agent takes the run. */
  readonly vault?: { readonly username?: VaultSecret; readonly password?: VaultSecret };
  /** `[system]`, `[caller]`, or the client id of a managed identity. */
  readonly identity?: string;
  /** Of that identity, for a registry of this installation: the run gets a token with its rights. */
  readonly principalUid?: string;
};

/**
 * With whose rights a run reaches its own registry: who asked for it, the identity of its task (uid of the resource that has
 * it), or nobody's.
 */
export type RunAuthority =
  | { readonly kind: 'principal'; readonly principalId: string; readonly principalType: string }
  | { readonly kind: 'none' };

/** A managed identity of a task: the system-assigned one has no client id here. */
export type TaskIdentity = { readonly clientId?: string; readonly principalUid: string };

/** As whom a run of a task reads key vaults; or why as nobody. */
export type VaultAccess =
  | {
      readonly kind: 'identities';
      /** What lends them, and has to have them still; absent in runs that older releases queued: their task. */
      readonly resourceUid?: string;
      readonly identities: readonly TaskIdentity[];
    }
  | { readonly kind: 'none'; readonly reason: 'otherFiles' | 'stranger' };

/** A run to be queued. */
export type NewRun = {
  readonly registryUid: string;
  readonly runType: RunType;
  readonly work: RunWork;
  readonly source: RunSource;
  /** Of an uploaded context: the path that its upload was given. */
  readonly contextPath?: string;
  readonly platforms: readonly RunPlatform[];
  readonly timeoutSeconds: number;
  readonly cpus: number;
  /** Undefined for the pool that every registry has. */
  readonly agentPoolName?: string;
  readonly authority: RunAuthority;
  readonly customRegistries: readonly CustomRegistry[];
  /** Absent for a run that somebody asks for in full: only resources have identities. */
  readonly vaultAccess?: VaultAccess;
  readonly isArchiveEnabled: boolean;
  readonly logTemplate?: string;
  readonly task?: { readonly uid: string; readonly name: string };
  readonly trigger: RunTrigger;
  readonly updateTriggerToken?: string;
  /** A second run with the same key in the registry is not made: what asks more than once (a journal consumer) names it. */
  readonly key?: string;
  /** Lines that its log begins with. */
  readonly notes?: readonly string[];
};

/** A run as it is shown; secrets are not in it. Times are integer microseconds. */
export type Run = {
  readonly registryUid: string;
  readonly runId: string;
  readonly status: RunStatus;
  readonly runType: RunType;
  readonly platforms: readonly RunPlatform[];
  readonly cpus: number;
  readonly agentPoolName?: string;
  readonly taskName?: string;
  readonly trigger: RunTrigger;
  readonly updateTriggerToken?: string;
  readonly isArchiveEnabled: boolean;
  readonly createdAtMicros: number;
  readonly startedAtMicros?: number;
  readonly finishedAtMicros?: number;
  readonly changedAtMicros: number;
  readonly images: readonly OutputImage[];
  readonly dependencies: readonly ImageDependencies[];
  readonly errorMessage?: string;
  readonly customRegistries: readonly string[];
};
