import {
  type MovedTagsView,
  movedTagsSchema,
  type Release,
  type Rollback,
  type TagDifferencesView,
  tagDifferencesSchema,
} from '../wire/acr/tag-moves-schema.ts';
import {
  type AccessExplanationView,
  type AccessQuestion,
  accessExplanationSchema,
} from '../wire/admin/access-schema.ts';
import {
  type AgentTokenCreate,
  type AgentTokenView,
  agentTokenGoneSchema,
  agentTokenListSchema,
  type NewAgentToken,
  newAgentTokenSchema,
} from '../wire/admin/agent-token-schema.ts';
import { type CredentialView, credentialSchema, type PasswordName } from '../wire/admin/credential-schema.ts';
import {
  type IdentityBind,
  type IdentityBindingView,
  identityBindingListSchema,
  identityBindingSchema,
  identityUnboundSchema,
} from '../wire/admin/identity-binding-schema.ts';
import {
  type LifecycleLine,
  type LifecyclePreview,
  type LifecycleRunPage,
  type LifecycleSet,
  type LifecycleView,
  lifecycleLineSchema,
  lifecycleRunSchema,
  lifecycleSchema,
} from '../wire/admin/lifecycle-schema.ts';
import { type PurgeLine, type PurgeOptions, purgeLineSchema } from '../wire/admin/purge-schema.ts';
import {
  type RegistryCreate,
  type RegistryUpdate,
  type RegistryView,
  registryListSchema,
  registrySchema,
} from '../wire/admin/registry-schema.ts';
import {
  type RepositoryTemplatesSet,
  type RepositoryTemplatesView,
  repositoryTemplatesSchema,
} from '../wire/admin/repository-template-schema.ts';
import {
  type BlobExplanationView,
  blobExplanationSchema,
  type CollectedView,
  collectedSchema,
  type DroppedView,
  droppedSchema,
  type ScrubView,
  scrubSchema,
} from '../wire/admin/retention-schema.ts';
import {
  type KeyRotate,
  type SigningKeyId,
  type SigningKeyView,
  signingKeyIdSchema,
  signingKeyListSchema,
} from '../wire/admin/signing-key-schema.ts';
import {
  type TaskAliasesView,
  type TaskGraphView,
  type TaskRebuildRequest,
  type TaskRebuildView,
  type TaskWebhooksView,
  taskAliasesSchema,
  taskGraphSchema,
  taskRebuildSchema,
  taskWebhooksSchema,
} from '../wire/admin/task-schema.ts';
import { type UnenforcedView, unenforcedSchema } from '../wire/admin/unenforced-schema.ts';
import {
  type AuditAcceptance,
  type AuditFinding,
  type AuditPageView,
  type AuditQuery,
  auditAcceptanceSchema,
  auditFindingSchema,
  auditPageSchema,
} from '../wire/events/audit-schema.ts';
import { type Connection, send, sendForLines } from './http.ts';

/** What an owner can do over the admin API. Every function throws ClientError. */
export type TagDiffQuery = { readonly repository: string; readonly from: string; readonly to?: string };

export type AdminClient = {
  readonly registryList: () => Promise<RegistryView[]>;
  readonly registryCreate: (registry: RegistryCreate) => Promise<RegistryView>;
  readonly registryShow: (name: string) => Promise<RegistryView>;
  readonly registryUpdate: (name: string, update: RegistryUpdate) => Promise<RegistryView>;
  /** Settings of registries that are kept and do nothing yet. */
  readonly unenforcedList: () => Promise<UnenforcedView['registries']>;
  /** Why somebody may or may not do something. */
  readonly accessExplain: (question: AccessQuestion) => Promise<AccessExplanationView>;
  /** The token is told once. */
  readonly agentTokenCreate: (request: AgentTokenCreate) => Promise<NewAgentToken>;
  readonly agentTokenList: () => Promise<AgentTokenView[]>;
  readonly agentTokenDelete: (id: string) => Promise<{ readonly id: string }>;
  readonly identityBindingList: () => Promise<IdentityBindingView[]>;
  readonly identityBind: (request: IdentityBind) => Promise<IdentityBindingView>;
  readonly identityUnbind: (id: string) => Promise<{ readonly id: string }>;
  /** Keys that verify tokens now. */
  readonly keyList: () => Promise<SigningKeyView[]>;
  /** A new one signs from now on. */
  readonly keyRotate: (request: KeyRotate) => Promise<SigningKeyId>;
  /** Every token that it signed is refused from now on. */
  readonly keyRevoke: (id: string) => Promise<SigningKeyId>;
  readonly credentialShow: (registry: string) => Promise<CredentialView>;
  readonly credentialRenew: (registry: string, name: PasswordName) => Promise<CredentialView>;
  /** Tells of each item as it is done; the totals come last. */
  readonly purge: (registry: string, options: PurgeOptions) => AsyncIterable<PurgeLine>;
  /** What new repositories begin with. */
  readonly repositoryTemplatesShow: (registry: string) => Promise<RepositoryTemplatesView>;
  readonly repositoryTemplatesSet: (
    registry: string,
    templates: RepositoryTemplatesSet,
  ) => Promise<RepositoryTemplatesView>;
  /** Rules by which content leaves, and their last runs. */
  readonly lifecycleShow: (registry: string) => Promise<LifecycleView>;
  readonly lifecycleSet: (registry: string, policy: LifecycleSet) => Promise<LifecycleView>;
  /** What rules would delete and keep; the totals come last. */
  readonly lifecyclePreview: (registry: string, preview: LifecyclePreview) => AsyncIterable<LifecycleLine>;
  /** Asks for a run, or finds the one that goes on. */
  readonly lifecycleRun: (registry: string) => Promise<LifecycleRunPage>;
  /** What a run did after the item of that number. */
  readonly lifecycleRunPage: (registry: string, id: string, after: number) => Promise<LifecycleRunPage>;
  /** Newest first; without a registry what belongs to the installation. */
  readonly auditPage: (registry: string | undefined, query: AuditQuery) => Promise<AuditPageView>;
  readonly auditVerify: () => AsyncIterable<AuditFinding>;
  /** The history is taken as the database has it. */
  readonly auditAccept: () => Promise<AuditAcceptance>;
  /** Tags that pointed elsewhere at one instant than at another; without `to`, than now. */
  readonly tagDiff: (registry: string, query: TagDiffQuery) => Promise<TagDifferencesView>;
  /** Points tags to where they pointed at an instant. */
  readonly tagRollback: (registry: string, repository: string, rollback: Rollback) => Promise<MovedTagsView>;
  /** Moves tags, all or none. */
  readonly tagRelease: (registry: string, release: Release) => Promise<MovedTagsView>;
  /** Frees what nothing references now; pushes and pulls go on. */
  readonly garbageCollect: () => Promise<CollectedView>;
  /** What was deleted of a repository and could be restored goes for good. */
  readonly deletedDrop: (registry: string, repository: string) => Promise<DroppedView>;
  readonly blobExplain: (registry: string, digest: string) => Promise<BlobExplanationView>;
  readonly scrubShow: () => Promise<ScrubView>;
  readonly scrubRestart: () => Promise<ScrubView>;
  /** Which images stand on which, by the tasks that make them. */
  readonly taskGraph: (registry: string) => Promise<TaskGraphView>;
  /** What bare words stand for in a step, and whether it is there. */
  readonly taskAliases: (registry: string) => Promise<TaskAliasesView>;
  /** Runs tasks and all that stand on what they make, in order. */
  readonly taskRebuild: (registry: string, request: TaskRebuildRequest) => Promise<TaskRebuildView>;
  /** What git hosts are to call, with secrets. */
  readonly taskWebhooks: (registry: string, task: string) => Promise<TaskWebhooksView>;
};

export function createAdminClient(connection: Connection): AdminClient {
  const registry = (name: string) => `/admin/registries/${encodeURIComponent(name)}`;
  return {
    auditPage: (name, query) => {
      const path = name === undefined ? '/admin/audit' : `${registry(name)}/audit`;
      return send(connection, 'GET', `${path}?${new URLSearchParams(definedOf(query))}`, auditPageSchema);
    },
    auditVerify: () => sendForLines(connection, '/admin/audit/verify', auditFindingSchema, {}),
    auditAccept: () => send(connection, 'POST', '/admin/audit/accept', auditAcceptanceSchema, {}),
    registryList: async () => (await send(connection, 'GET', '/admin/registries', registryListSchema)).registries,
    registryCreate: (body) => send(connection, 'POST', '/admin/registries', registrySchema, body),
    registryShow: (name) => send(connection, 'GET', registry(name), registrySchema),
    registryUpdate: (name, update) => send(connection, 'PATCH', registry(name), registrySchema, update),
    unenforcedList: async () => (await send(connection, 'GET', '/admin/unenforced', unenforcedSchema)).registries,
    accessExplain: (question) =>
      send(connection, 'GET', `/admin/access/explain?${new URLSearchParams(question)}`, accessExplanationSchema),
    agentTokenCreate: (body) => send(connection, 'POST', '/admin/agent-tokens', newAgentTokenSchema, body),
    agentTokenList: async () => (await send(connection, 'GET', '/admin/agent-tokens', agentTokenListSchema)).tokens,
    agentTokenDelete: (id) =>
      send(connection, 'DELETE', `/admin/agent-tokens/${encodeURIComponent(id)}`, agentTokenGoneSchema),
    identityBindingList: async () =>
      (await send(connection, 'GET', '/admin/identity-bindings', identityBindingListSchema)).bindings,
    identityBind: (body) => send(connection, 'POST', '/admin/identity-bindings', identityBindingSchema, body),
    identityUnbind: (id) =>
      send(connection, 'DELETE', `/admin/identity-bindings/${encodeURIComponent(id)}`, identityUnboundSchema),
    keyList: async () => (await send(connection, 'GET', '/admin/keys', signingKeyListSchema)).keys,
    keyRotate: (body) => send(connection, 'POST', '/admin/keys', signingKeyIdSchema, body),
    keyRevoke: (id) => send(connection, 'DELETE', `/admin/keys/${encodeURIComponent(id)}`, signingKeyIdSchema),
    credentialShow: (name) => send(connection, 'GET', `${registry(name)}/credential`, credentialSchema),
    credentialRenew: (name, password) =>
      send(connection, 'POST', `${registry(name)}/credential/renew`, credentialSchema, { name: password }),
    purge: (name, options) => sendForLines(connection, `${registry(name)}/purge`, purgeLineSchema, options),
    repositoryTemplatesShow: (name) =>
      send(connection, 'GET', `${registry(name)}/repository-templates`, repositoryTemplatesSchema),
    repositoryTemplatesSet: (name, templates) =>
      send(connection, 'PUT', `${registry(name)}/repository-templates`, repositoryTemplatesSchema, templates),
    lifecycleShow: (name) => send(connection, 'GET', `${registry(name)}/lifecycle`, lifecycleSchema),
    lifecycleSet: (name, policy) => send(connection, 'PUT', `${registry(name)}/lifecycle`, lifecycleSchema, policy),
    lifecyclePreview: (name, preview) =>
      sendForLines(connection, `${registry(name)}/lifecycle/preview`, lifecycleLineSchema, preview),
    lifecycleRun: (name) => send(connection, 'POST', `${registry(name)}/lifecycle/runs`, lifecycleRunSchema),
    lifecycleRunPage: (name, id, after) => {
      const path = `${registry(name)}/lifecycle/runs/${encodeURIComponent(id)}?after=${after}`;
      return send(connection, 'GET', path, lifecycleRunSchema);
    },
    tagDiff: (name, query) =>
      send(connection, 'GET', `${registry(name)}/tag-diff?${new URLSearchParams(query)}`, tagDifferencesSchema),
    tagRollback: (name, repository, body) => {
      const path = `${registry(name)}/rollback?${new URLSearchParams({ repository })}`;
      return send(connection, 'POST', path, movedTagsSchema, body);
    },
    tagRelease: (name, body) => send(connection, 'POST', `${registry(name)}/release`, movedTagsSchema, body),
    garbageCollect: () => send(connection, 'POST', '/admin/gc', collectedSchema),
    deletedDrop: (name, repository) =>
      send(connection, 'POST', `${registry(name)}/drop-deleted`, droppedSchema, { repository }),
    blobExplain: (name, digest) =>
      send(connection, 'GET', `${registry(name)}/gc/${encodeURIComponent(digest)}`, blobExplanationSchema),
    scrubShow: () => send(connection, 'GET', '/admin/scrub', scrubSchema),
    scrubRestart: () => send(connection, 'POST', '/admin/scrub', scrubSchema),
    taskGraph: (name) => send(connection, 'GET', `${registry(name)}/task-graph`, taskGraphSchema),
    taskAliases: (name) => send(connection, 'GET', `${registry(name)}/task-aliases`, taskAliasesSchema),
    taskRebuild: (name, request) =>
      send(connection, 'POST', `${registry(name)}/task-rebuild`, taskRebuildSchema, request),
    taskWebhooks: (name, task) =>
      send(connection, 'GET', `${registry(name)}/tasks/${encodeURIComponent(task)}/webhooks`, taskWebhooksSchema),
  };
}

function definedOf(query: AuditQuery): Record<string, string> {
  return Object.fromEntries(Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined));
}
