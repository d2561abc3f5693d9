import type { Generated } from 'kysely';

/**
 * The tables. Conventions (house plan, ideas 1 and 3): `*_uid` random and never reused; `*_key` the lower-cased form of a
 * case-insensitive name; `*_at` integer microseconds since 1970; sizes in bytes; texts compare by bytes; 0 and 1 for no and yes;
 * bytes are BLOB in SQLite and bytea in PostgreSQL.
 */
export type Schema = {
  installation: InstallationTable;
  tenants: TenantTable;
  registries: RegistryTable;
  subscriptions: SubscriptionTable;
  resources: ResourceTable;
  operations: OperationTable;
  deployments: DeploymentTable;
  principals: PrincipalTable;
  secrets: SecretTable;
  signing_keys: SigningKeyTable;
  applications: ApplicationTable;
  user_groups: UserGroupTable;
  directory_links: DirectoryLinkTable;
  sign_in_states: SignInStateTable;
  role_assignments: RoleAssignmentTable;
  custom_roles: CustomRoleTable;
  scope_maps: ScopeMapTable;
  repository_tokens: RepositoryTokenTable;
  repositories: RepositoryTable;
  manifests: ManifestTable;
  manifest_references: ManifestReferenceTable;
  manifest_facts: ManifestFactsTable;
  tags: TagTable;
  blobs: BlobTable;
  blob_links: BlobLinkTable;
  referenced_blobs: ReferencedBlobTable;
  registry_usage: RegistryUsageTable;
  uploads: UploadTable;
  journal_heads: JournalHeadTable;
  journal_events: JournalEventTable;
  journal_cursors: JournalCursorTable;
  access_batches: AccessBatchTable;
  jobs: JobTable;
  webhooks: WebhookTable;
  webhook_cursors: WebhookCursorTable;
  webhook_deliveries: WebhookDeliveryTable;
  audit_terms: AuditTermTable;
  audit_keys: AuditKeyTable;
  audit_checkpoints: AuditCheckpointTable;
  audit_segments: AuditSegmentTable;
  metric_values: MetricValueTable;
  diagnostic_settings: DiagnosticSettingTable;
  diagnostic_cursors: DiagnosticCursorTable;
  walks: WalkTable;
  untagged_manifests: UntaggedManifestTable;
  deleted_manifests: DeletedManifestTable;
  deleted_references: ManifestReferenceTable;
  deleted_tags: DeletedTagTable;
  tag_pulls: TagPullTable;
  manifest_pulls: ManifestPullTable;
  quarantine_states: QuarantineStateTable;
  lifecycle_policies: LifecyclePolicyTable;
  lifecycle_runs: LifecycleRunTable;
  lifecycle_items: LifecycleItemTable;
  repository_templates: RepositoryTemplateTable;
  run_counters: RunCounterTable;
  runs: RunTable;
  run_log_chunks: RunLogChunkTable;
  kept_bytes: KeptBytesTable;
  build_contexts: BuildContextTable;
  build_context_blocks: BuildContextBlockTable;
  agent_tokens: AgentTokenTable;
  task_timers: TaskTimerTable;
  task_sources: TaskSourceTable;
  task_bases: TaskBaseTable;
  task_outputs: TaskOutputTable;
  task_rebuild_steps: TaskRebuildStepTable;
  throttle_buckets: ThrottleBucketTable;
};

/** One row: what the first start made. */
type InstallationTable = {
  id: number;
  installation_uid: string;
  tenant_uid: string;
  subscription_id: string;
  /** Region of origin of everything written here. */
  region: string;
  created_at: number;
};

type TenantTable = {
  uid: string;
  /** GUID. */
  tenant_id: string;
  /** Raised in the transaction of any change of rights or of a registry; a token or cache with an older one decides again. */
  access_epoch: number;
  created_at: number;
};

type RegistryTable = {
  uid: string;
  tenant_uid: string;
  name: string;
  name_key: string;
  sku: 'Basic' | 'Standard' | 'Premium';
  is_admin_enabled: number;
  is_anonymous_pull_enabled: number;
  created_at: number;
  /** First label of the login server, in lower case, where a domain name label scope adds a hash to the name; else empty. */
  host_label: Generated<string>;
  /** 1 while its content leaves: the name stays taken, and nobody reaches it. */
  is_deleting: Generated<number>;
  permission_mode: Generated<'LegacyRegistryPermissions' | 'AbacRepositoryPermissions'>;
  /** Tokens issued at an older access epoch are refused: the permission mode changed then. */
  credentials_epoch: Generated<number>;
  /** JSON: public access, default action, address ranges, bypass. */
  network_rules: Generated<string>;
  /** After so many days a manifest without a tag is deleted; null for never. */
  retention_days: Generated<number | null>;
  /** 1 where deleted tags and manifests can be restored for `deleted_days`. */
  keeps_deleted: Generated<number>;
  deleted_days: Generated<number>;
  /** JSON list of repository names and `prefix/*` that strangers may pull; empty for all, where anonymous pull is on. */
  anonymous_repositories: Generated<string>;
  /** JSON list of the rules for tags that are written once. */
  immutable_tags: Generated<string>;
  /** 1 where requests are held to the figures of the SKU. */
  is_throttled: Generated<number>;
  /** Bytes that it may have in use; null for what its SKU may. */
  storage_limit: Generated<number | null>;
};

type SubscriptionTable = {
  /** GUID. */
  subscription_id: string;
  tenant_uid: string;
  display_name: string;
  created_at: number;
};

/** Every ARM resource, group and lock: what people asked for (house plan, idea 6). Keys are ids, names and types in lower case. */
type ResourceTable = {
  uid: string;
  tenant_uid: string;
  /** GUID. */
  subscription_id: string;
  /** As it is shown. */
  id: string;
  id_key: string;
  /** What it is in or attached to: subscription, group or resource. */
  parent_id: string;
  parent_key: string;
  group_name: string | null;
  group_key: string | null;
  type: string;
  type_key: string;
  name: string;
  /** `eastus`; null for types without a place. */
  location: string | null;
  /** JSON object of texts. */
  tags: string;
  /** JSON object: `sku`, `identity`. */
  envelope: string;
  /** JSON object. */
  properties: string;
  state: 'Creating' | 'Updating' | 'Succeeded' | 'Failed' | 'Deleting';
  etag: string;
  created_at: number;
  /** JSON: uid, name and kind of who made it. */
  created_by: string;
  changed_at: number;
  changed_by: string;
};

/** Long-running operations; kept for a day after their end. */
type OperationTable = {
  uid: string;
  tenant_uid: string;
  resource_uid: string;
  resource_id: string;
  state: 'InProgress' | 'Succeeded' | 'Failed';
  /** JSON of the ARM error of a failed one. */
  error: string | null;
  created_at: number;
  changed_at: number;
};

/** The last deployment of each name in a resource group. */
type DeploymentTable = {
  uid: string;
  tenant_uid: string;
  /** Uid of the resource group: a new group of the same name has none of these. */
  group_uid: string;
  name: string;
  name_key: string;
  mode: 'Incremental' | 'Complete';
  state: 'Accepted' | 'Running' | 'Succeeded' | 'Failed' | 'Canceled';
  /** JSON, as given. */
  template: string;
  /** JSON of `{ name: { type, value } }`; secure ones without a value. Outputs likewise. */
  parameters: string;
  outputs: string;
  /** JSON list of how each resource went. */
  operations: string;
  /** JSON of the ARM error of a failed one. */
  error: string | null;
  /** JSON of who deploys. */
  author: string;
  correlation_id: string;
  created_at: number;
  changed_at: number;
  /** Sealed values of all parameters; null once it has ended. */
  input: Uint8Array | null;
};

type PrincipalTable = {
  uid: string;
  tenant_uid: string;
  kind: 'user' | 'servicePrincipal' | 'managedIdentity' | 'registryAdmin' | 'repositoryToken';
  /** What a person types as the user name, lower-cased: user name, application id, or registry name. Unique within tenant and registry. */
  login_key: string;
  /** Set on principals that live inside one registry. */
  registry_uid: string | null;
  display_name: string;
  is_owner: number;
  is_enabled: number;
  created_at: number;
  /** JSON object of what else the directory shows: `mail`, `tags`, ... */
  properties: string;
};

type SecretTable = {
  uid: string;
  principal_uid: string;
  /** `password`, `password2`, `clientSecret`, `certificate`, `federated`. */
  name: string;
  /** `sha256` of a generated 256-bit secret, `scrypt` of a person's password with its parameters, or JSON of a certificate or of trust in an issuer. */
  verifier: string;
  /** The secret itself, sealed under the master key; only where it must be shown again. */
  sealed: Uint8Array | null;
  expires_at: number | null;
  created_at: number;
  display_name: string | null;
  /** First characters of a generated secret. */
  hint: string | null;
  /** Does not count before then. */
  starts_at: number | null;
  /** 1 when it was given to the application rather than to its service principal. */
  is_of_application: number;
};

type SigningKeyTable = {
  /** The `kid` of the JWT header. */
  uid: string;
  /** What it signs: `registryToken`, later tenant tokens and checkpoints. */
  purpose: string;
  algorithm: string;
  public_jwk: string;
  sealed_private_jwk: Uint8Array;
  created_at: number;
  /** Signs until then; verifies until `expires_at`. */
  retires_at: number;
  expires_at: number;
};

type ApplicationTable = {
  uid: string;
  tenant_uid: string;
  /** GUID: what a client signs in with. */
  app_id: string;
  /** The service principal; a disabled one as long as nobody has asked for it. Its secrets are the application's too. */
  principal_uid: string;
  /** 1 while the service principal is part of the directory. */
  is_provisioned: number;
  display_name: string;
  /** JSON object of what else the directory shows. */
  properties: string;
  created_at: number;
  changed_at: number;
};

type UserGroupTable = {
  uid: string;
  tenant_uid: string;
  display_name: string;
  /** JSON object of what else the directory shows. */
  properties: string;
  created_at: number;
  changed_at: number;
};

/** Who belongs to a group (a group may belong to another), and who owns a group, application or service principal. */
type DirectoryLinkTable = {
  tenant_uid: string;
  source_uid: string;
  kind: 'member' | 'owner';
  target_uid: string;
};

/** Sign-ins under way and what outlives them: device and authorization codes, sessions, assertions already used. */
type SignInStateTable = {
  /** Kind and SHA-256 of what the client shows: `session/...`. */
  key: string;
  /** JSON. */
  payload: string;
  expires_at: number;
};

/** Who has which role where; derived from the resources of type roleAssignments. */
type RoleAssignmentTable = {
  /** The resource's. */
  uid: string;
  tenant_uid: string;
  /** Id of subscription, group or resource in lower case; `/` for the installation. */
  scope_key: string;
  /** Uid of a user, group, service principal or managed identity. */
  principal_uid: string;
  /** GUID of the role definition, in lower case. */
  role_key: string;
  /** As written; null without one. */
  condition: string | null;
};

/** Derived from the resources of type roleDefinitions. */
type CustomRoleTable = {
  /** The resource's. */
  uid: string;
  tenant_uid: string;
  /** GUID, in lower case. */
  role_key: string;
  name_key: string;
  /** JSON: permissions and assignable scopes. */
  definition: string;
};

/** Scope maps that people made; those of the system are known by name. */
type ScopeMapTable = {
  /** The resource's. */
  uid: string;
  registry_uid: string;
  name_key: string;
  /** JSON list: `repositories/app/content/read`. */
  actions: string;
};

/** What a repository-scoped token may do. */
type RepositoryTokenTable = {
  principal_uid: string;
  registry_uid: string;
  /** Name of its scope map, in lower case. */
  scope_map_key: string;
};

type RepositoryTable = {
  uid: string;
  registry_uid: string;
  name: string;
  created_at: number;
  changed_at: number;
  /** Bits of the attributes that are off: 1 read, 2 write, 4 delete, 8 list. */
  locks: Generated<number>;
  /** JSON list of its own rules for tags that are written once, beside the registry's. */
  immutable_tags: Generated<string>;
};

type ManifestTable = {
  repository_uid: string;
  digest: string;
  media_type: string;
  artifact_type: string | null;
  /** Bytes of `body`. */
  size: number;
  subject_digest: string | null;
  /** JSON of the manifest's annotations, kept apart only where `subject_digest` is set: the referrers list shows them. */
  annotations: string | null;
  created_at: number;
  changed_at: number;
  /** Exactly as pushed. After the columns above, so that reading those does not touch it. */
  body: Uint8Array;
  /** As in repositories. */
  locks: Generated<number>;
};

/** What a manifest and its configuration say, as lists show it; written when it is first asked for. */
type ManifestFactsTable = {
  repository_uid: string;
  digest: string;
  /** JSON. */
  facts: string;
};

type ManifestReferenceTable = {
  repository_uid: string;
  manifest_digest: string;
  /** The blob or child manifest that must stay while the manifest does. */
  digest: string;
  kind: 'blob' | 'manifest';
};

type TagTable = {
  repository_uid: string;
  name: string;
  digest: string;
  /** Microseconds, raised by one where two writes fall into the same one; the highest (hybrid_time, region) wins everywhere. */
  hybrid_time: number;
  region: string;
  created_at: number;
  changed_at: number;
  /** As in repositories. */
  locks: Generated<number>;
  /** What it pointed at before the last change that moved it. */
  previous_digest: Generated<string | null>;
};

type BlobTable = {
  registry_uid: string;
  digest: string;
  /** Where the bytes are; random, never reused. */
  storage_key: string;
  size: number;
  /** Bytes in the store; differs from `size` where the format adds or removes some. */
  stored_size: number;
  format: 'plain' | 'sealed';
  /** Which encryption key a sealed blob is under; empty for plain ones. */
  scope: string;
  state: 'ready' | 'damaged';
  created_at: number;
  /** Not collected before then although nothing references it. */
  grace_until: number;
  /** CRC-32 of each 256 KiB block, four bytes each, big-endian. Last, so that reading the other columns does not touch it. */
  checksums: Uint8Array;
};

type BlobLinkTable = {
  repository_uid: string;
  digest: string;
  created_at: number;
};

/** The blobs that a manifest of a repository references which shows them; each counts once. */
type ReferencedBlobTable = {
  registry_uid: string;
  digest: string;
  size: number;
};

/** Sum of the referenced blobs and the manifests of a registry. */
type RegistryUsageTable = {
  registry_uid: string;
  bytes: number;
};

type UploadTable = {
  uid: string;
  registry_uid: string;
  repository_uid: string;
  /** Who began it; nobody else may go on. */
  principal: string;
  algorithm: 'sha256' | 'sha512';
  /** The store's handle; empty once the session has ended, so that a late request is told so. */
  handle: string;
  /** Bytes stored so far. */
  offset: number;
  /** JSON list of the store's part tokens. */
  parts: string;
  /** Which request holds the upload; null when none does. */
  lease_owner: string | null;
  lease_until: number;
  /** Raised by each holder; a write with an older one is refused. */
  fence: number;
  created_at: number;
  changed_at: number;
  expires_at: number;
};

type JournalHeadTable = {
  stream: string;
  incarnation: string;
  seq: number;
  hash: string;
  changed_at: number;
};

type JournalEventTable = {
  stream: string;
  incarnation: string;
  seq: number;
  type: string;
  occurred_at: number;
  /** Lower-case hex SHA-256 of `bytes`, which carry the hash of the event before. */
  hash: string;
  /** The exact bytes that were hashed: JSON. */
  bytes: Uint8Array;
};

type JournalCursorTable = {
  consumer: string;
  stream: string;
  incarnation: string;
  seq: number;
  changed_at: number;
};

type AccessBatchTable = {
  /** One per process start. */
  stream: string;
  seq: number;
  first_at: number;
  last_at: number;
  count: number;
  /** Lower-case hex SHA-256 over the hash of the batch before (64 zeros for the first), as text, and `bytes`. */
  hash: string;
  /** JSON lines, compressed with Zstandard. */
  bytes: Uint8Array;
};

type JobTable = {
  uid: string;
  kind: string;
  /** At most one waiting and one running job per kind and key. */
  key: string;
  payload: string;
  state: 'waiting' | 'running' | 'failed';
  run_at: number;
  attempts: number;
  lease_owner: string | null;
  lease_until: number;
  fence: number;
  last_error: string | null;
  created_at: number;
  changed_at: number;
};

/** Who is told of changes of a registry; derived from resources such as webhooks. */
type WebhookTable = {
  /** The resource's. */
  uid: string;
  registry_uid: string;
  /** How events are written for it. */
  form: 'acr' | 'eventGrid' | 'cloudEvents';
  is_enabled: number;
  /** JSON: what it wants to hear of. */
  filter: string;
  /** JSON of address, headers and signing key, sealed. */
  sealed_target: Uint8Array;
  /** Attempts that failed one after the other; none is made before `retry_at`. */
  failures: number;
  retry_at: number;
  created_at: number;
  changed_at: number;
  /** When the first of those attempts was made; 0 where an older program made it. Without failures it means nothing. */
  failing_since: Generated<number>;
};

/** How far a webhook has been told a stream of the journal. */
type WebhookCursorTable = {
  webhook_uid: string;
  stream: string;
  incarnation: string;
  seq: number;
  /** Notifications of the event after `seq` that were delivered already. */
  part: number;
};

/** What was sent last, and what is kept to be sent again. */
type WebhookDeliveryTable = {
  webhook_uid: string;
  /** GUID; the same for every attempt. */
  event_id: string;
  /** `waiting`: to be sent outside the order, such as a ping; `failing`: the next attempt is to come; `dead`: given up. */
  state: 'waiting' | 'failing' | 'delivered' | 'dead';
  occurred_at: number;
  attempts: number;
  tried_at: number;
  /** JSON: the body, with its type. */
  payload: string;
  /** JSON of the last attempt: request, answer or fault. */
  outcome: string;
};

/**
 * Which pieces of journal and access log hold something of a registry, an identity in it, and so on: a page of the audit
 * reads those alone. A piece is a range of events, or a batch of accesses.
 */
type AuditTermTable = {
  /** `<registry or tenant uid>`, and behind it `/i/<identity>`, `/o/<operation>`, `/r/<repository>`. */
  term: string;
  /** Times of the first and last entry of the piece; at most an hour apart, else it is several. */
  last_at: number;
  first_at: number;
  source: 'journal' | 'access';
  stream: string;
  /** Empty for accesses. */
  incarnation: string;
  first_seq: number;
  last_seq: number;
};

/** What checkpoints are signed with. */
type AuditKeyTable = {
  uid: string;
  /** Ed25519, base64 of the DER. */
  public_key: string;
  sealed_private_key: Uint8Array;
  created_at: number;
};

/** Signed statements of how far a stream was, and of its hash there. */
type AuditCheckpointTable = {
  /** From 1; the row of a gap stands for several. */
  number: number;
  /** `checkpoints` for a gap: there `seq` is the number of the first that left. */
  source: 'journal' | 'access' | 'checkpoints';
  stream: string;
  incarnation: string;
  seq: number;
  key_uid: string;
  /** JSON, as signed; carries the hash of the statement before. */
  statement: string;
  /** Base64. */
  signature: string;
};

/** A part of the access log that is in the archive: whole batches of one stream, one after the other. */
type AuditSegmentTable = {
  /** From 1, without gaps. */
  number: number;
  stream: string;
  first_seq: number;
  last_seq: number;
  first_at: number;
  last_at: number;
  /** Hash of the batch before the first (64 zeros for none), and of the last. */
  previous_hash: string;
  last_hash: string;
  /** In the archive. */
  name: string;
  /** Of the file in the archive, in hex. */
  sha256: string;
  /** 1: the batches are in the archive alone. */
  is_removed: number;
  created_at: number;
};

/** What a registry was used for in a minute or an hour; there is no row where there was nothing. */
type MetricValueTable = {
  registry_uid: string;
  /** One of `metricNames`. */
  metric: string;
  /** 60 or 3600. */
  grain_seconds: number;
  /** Where it begins. */
  at: number;
  /** Sum, number, smallest and largest of what was measured, in the metric's unit. */
  total: number;
  count: number;
  minimum: number;
  maximum: number;
};

/** Where logs of a registry are sent; derived from resources. */
type DiagnosticSettingTable = {
  /** The resource's. */
  uid: string;
  registry_uid: string;
  is_enabled: number;
  /** JSON: names of log tables. */
  categories: string;
  /** Name of a destination in the settings. */
  destination: string;
  /** Attempts that failed one after the other; none is made before `retry_at`. */
  failures: number;
  retry_at: number;
  last_error: string;
  created_at: number;
  changed_at: number;
};

/** How far a diagnostic setting has been sent a stream of journal or access log. */
type DiagnosticCursorTable = {
  setting_uid: string;
  source: 'journal' | 'access';
  stream: string;
  /** Empty for accesses. */
  incarnation: string;
  seq: number;
};

/** How far background walks over many rows have come. */
type WalkTable = {
  name: string;
  /** JSON. */
  position: string;
  changed_at: number;
};

/** Manifests that may be without a tag, where a policy deletes those: looked at when they are due. */
type UntaggedManifestTable = {
  repository_uid: string;
  digest: string;
  registry_uid: string;
  since: number;
};

/** A manifest that can be restored: as it was, but for its attributes. */
type DeletedManifestTable = Omit<ManifestTable, 'locks'> & { deleted_at: number };

/** A tag that can be restored, and what it pointed at. */
type DeletedTagTable = {
  repository_uid: string;
  name: string;
  digest: string;
  deleted_at: number;
};

/** Token buckets that processes take slices from; one that is not here is full. */
type ThrottleBucketTable = {
  /** `<registry uid>/<class>`, for one identity `/<principal uid>` behind it. */
  bucket: string;
  /** In 60-millionths of a request, as of `changed_at`. */
  level: number;
  changed_at: number;
  /** It was found empty and refuses until then; 0 while it does not. */
  closed_until: number;
};

/** The number of the newest run of a registry. */
type RunCounterTable = { registry_uid: string; last: number };

/** One run of a build or task. */
type RunTable = {
  uid: string;
  registry_uid: string;
  /** From 1, without gaps while none is removed: newer runs have greater ones. */
  number: number;
  /** As people see it. */
  run_id: string;
  status: string;
  run_type: string;
  /** Name of its agent pool in lower case; empty for the one that every registry has. */
  pool_key: string;
  task_uid: string | null;
  /** What keeps a second run from being made for the same reason. */
  once_key: string | null;
  /** JSON: what is shown of it and never changes. */
  facts: string;
  /** JSON: images, dependencies, why it failed. */
  result: string;
  is_archived: number;
  timeout_seconds: number;
  /** What to do, and the secrets for it; null from its end on. */
  sealed_order: Uint8Array | null;
  /** JSON: uids of the tokens that its agent was given for our registries. */
  tokens: string;
  /** Texts that its log must not show, while an agent has it. */
  sealed_masks: Uint8Array | null;
  context_path: string | null;
  created_at: number;
  started_at: number | null;
  finished_at: number | null;
  changed_at: number;
  /** Of agents, this one included. */
  attempt: number;
  /** When somebody asked for its end. */
  canceled_at: number | null;
  /** Of the lease of the agent that has it. */
  lease_verifier: string | null;
  /** Time of the database. */
  lease_until: number;
  agent: string | null;
  /** Bytes of the log as agents sent them. */
  log_received: number;
  /** Bytes of the log as it is kept, with CRLF at the end of lines. */
  log_size: number;
  /** 1 where the last byte that was sent is CR. */
  is_log_after_return: number;
  /** Where the whole log is; null while it is in chunks. */
  log_key: string | null;
};

/** A part of the log of a run that is not in one piece yet. */
type RunLogChunkTable = { run_uid: string; offset: number; bytes: Uint8Array };

/** Bytes in the store that are no blobs: contexts and logs of runs. */
type KeptBytesTable = { storage_key: string; registry_uid: string; digest: string; size: number; created_at: number };

/** Files that were uploaded for a run. */
type BuildContextTable = {
  uid: string;
  registry_uid: string;
  /** `source/…`, as clients name it. */
  path: string;
  state: 'waiting' | 'ready' | 'taken';
  created_at: number;
  changed_at: number;
};

/** A part of an uploaded context. */
type BuildContextBlockTable = {
  context_uid: string;
  block_id: string;
  storage_key: string;
  size: number;
  /** Among the blocks that make the context; null for one that is not among them yet. */
  position: number | null;
};

/** What agents of a pool show; `registry_uid` is empty for the pool that every registry has. */
type AgentTokenTable = {
  uid: string;
  registry_uid: string;
  pool_key: string;
  verifier: string;
  created_at: number;
};

/** When a tag was asked for last. */
type TagPullTable = { repository_uid: string; name: string; pulled_at: number };

/** What a scanner said of a manifest, also of one that has left; one without a row has passed. */
type QuarantineStateTable = {
  repository_uid: string;
  digest: string;
  state: 'Passed' | 'Failed' | 'Quarantined';
  /** JSON, as the scanner wrote it. */
  details: string | null;
};

/** When a manifest was asked for last, by tag or digest. */
type ManifestPullTable = { repository_uid: string; digest: string; pulled_at: number };

/** The rules by which content of a registry leaves. */
type LifecyclePolicyTable = {
  registry_uid: string;
  /** JSON. */
  rules: string;
  /** From the beginning of one run to that of the next. */
  every_ms: number;
  next_run_at: number;
  changed_at: number;
};

/** A run of lifecycle rules: under way, or to come, until `ended_at`. */
type LifecycleRunTable = {
  uid: string;
  registry_uid: string;
  asked_at: number;
  ended_at: number | null;
  /** What left, and the bytes that it freed. */
  tags: number;
  manifests: number;
  freed_bytes: number;
  /** What stopped it. */
  problem: string | null;
};

/** What a run did, in its order. */
type LifecycleItemTable = {
  run_uid: string;
  seq: number;
  /** JSON. */
  item: string;
};

/** What repositories whose names begin so have when they come into being. */
type RepositoryTemplateTable = {
  registry_uid: string;
  prefix: string;
  locks: number;
  /** JSON list of rules for tags that are written once. */
  immutable_tags: string;
};

/** When the timers of enabled tasks are due next. */
type TaskTimerTable = {
  task_uid: string;
  name: string;
  registry_uid: string;
  /** NCrontab, five fields, UTC. */
  schedule: string;
  next_at: number;
};

/** The git repositories that start enabled tasks. */
type TaskSourceTable = {
  task_uid: string;
  name: string;
  registry_uid: string;
  /** In the address that the provider calls; random. */
  hook_id: string;
  /** What the provider signs with. */
  sealed_secret: Uint8Array;
  /** A leaving one is removed once its provider has forgotten it. */
  state: 'active' | 'leaving';
  /** JSON: what the provider calls the webhook that this server made there. */
  provider_hook: string | null;
  /** JSON: the commits of branches as they were seen last; null before the first look. */
  heads: string | null;
  /** Why the provider has no webhook, or cannot be asked. */
  problem: string | null;
  poll_at: number;
};

/** The images that a task's own stand on, as its last successful run reported them. */
type TaskBaseTable = {
  task_uid: string;
  /** Of the registry that has the image: a login server, or another host. */
  host: string;
  repository: string;
  tag: string;
  /** Of the task. */
  registry_uid: string;
  /** Of the image, where it is one of this installation. */
  base_registry_uid: string | null;
  kind: 'runtime' | 'buildtime';
  digest: string | null;
  /** When another registry is asked next. */
  check_at: number;
};

/** The images that a task made, as its last successful run reported them. */
type TaskOutputTable = {
  task_uid: string;
  host: string;
  repository: string;
  tag: string;
  registry_uid: string;
};

/** One task in a rebuild that somebody asked for: started once those that it waits for have succeeded. */
type TaskRebuildStepTable = {
  rebuild_uid: string;
  task_uid: string;
  registry_uid: string;
  /** JSON: uids of tasks. */
  waits_for: string;
  run_id: string | null;
  state: 'waiting' | 'started' | 'succeeded' | 'failed' | 'skipped';
  created_at: number;
};
