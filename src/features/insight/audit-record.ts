import { z } from 'zod';
import type { JournalEvent } from '../../platform/journal/journal.ts';

/** Names of Azure's log tables, and a third for changes that Azure keeps in its activity log. */
export const auditCategories = [
  'ContainerRegistryLoginEvents',
  'ContainerRegistryRepositoryEvents',
  'Administrative',
] as const;
export type AuditCategory = (typeof auditCategories)[number];

/**
 * One line of the audit, whichever log it comes from. Columns of Azure's tables have their names in lower camel case.
 * Source: ACR semantics, "Logs".
 */
export type AuditRecord = {
  /** Where it stands: source, stream, incarnation, sequence number, and line in the batch. */
  readonly id: string;
  readonly atMicros: number;
  readonly category: AuditCategory;
  /** `Push`, `Pull`, `Untag`, `Delete`, `Login`, ...; else the type of the event. */
  readonly operationName: string;
  /** Undefined for what belongs to the installation. */
  readonly registryUid: string | undefined;
  readonly identity: string;
  /** Uid of the identity. */
  readonly principal: string;
  /** `registryAdmin`, `user`, `repositoryToken` and the like; empty where it is not known. */
  readonly principalKind: string;
  readonly callerIpAddress: string;
  readonly userAgent: string;
  readonly correlationId: string;
  /** HTTP status as text, as Azure has it. */
  readonly resultDescription: string;
  readonly resultType: string;
  /** Why it was denied. */
  readonly reason: string;
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
  /** Where a tag pointed before it was set: empty for a new one, the same digest where nothing moved. */
  readonly previous: string;
  readonly mediaType: string;
  readonly artifactType: string;
  readonly size: number;
  /** Repeated denials that were counted together. */
  readonly times: number;
  /** The new state of what an event of the control plane names; the new attributes of content, where they were changed. */
  readonly detail: unknown;
};

const operationNames: Readonly<Record<string, string>> = {
  'manifest.pushed': 'Push',
  'manifest.deleted': 'Delete',
  'repository.deleted': 'Delete',
  'tag.set': 'Tag',
  'tag.deleted': 'Untag',
  'manifest.purged': 'Purge Manifest',
  'manifest.restored': 'Restore',
  'repository.updated': 'Update Repository',
  'tag.updated': 'Update Tag',
  'manifest.updated': 'Update Manifest',
  'managedIdentity.created': 'Create Managed Identity',
  'managedIdentity.deleted': 'Delete Managed Identity',
  'identityBinding.created': 'Create Identity Binding',
  'identityBinding.deleted': 'Delete Identity Binding',
  pull: 'Pull',
  signIn: 'Login',
  tokenIssue: 'TokenIssue',
  denial: 'Denied',
};

const text = z.string().catch('');
const contentSchema = z.object({
  repository: text,
  tag: text,
  tags: z.array(z.string()).catch([]),
  digest: text,
  previous: text,
  isNew: z.boolean().catch(false),
  mediaType: text,
  artifactType: text,
  sizeBytes: z.number().catch(0),
  request: z
    .object({ id: text, address: text, name: text, kind: text, userAgent: text })
    .catch({ id: '', address: '', name: '', kind: '', userAgent: '' }),
});

/** A change as the audit shows it. */
export function recordOfEvent(event: JournalEvent): AuditRecord {
  const [kind, registryUid] = event.stream.split('/');
  const { request, tags, sizeBytes, isNew, ...content } = contentSchema.parse(event.data);
  const isContent = content.repository !== '';
  return {
    id: `journal/${event.stream}/${event.incarnation}/${event.seq}`,
    atMicros: event.occurredAtMicros,
    category: isContent ? 'ContainerRegistryRepositoryEvents' : 'Administrative',
    operationName: operationNames[event.type] ?? event.type,
    registryUid: kind === 'registry' ? registryUid : undefined,
    identity: request.name === '' ? event.actor : request.name,
    principal: event.actor,
    principalKind: request.kind,
    callerIpAddress: request.address,
    userAgent: request.userAgent,
    correlationId: request.id,
    ...succeeded,
    ...content,
    tag: content.tag === '' ? tags.join(' ') : content.tag,
    previous: event.type === 'tag.set' && content.previous === '' && !isNew ? content.digest : content.previous,
    size: sizeBytes,
    times: 1,
    detail: isContent ? detailOf(event.data) : event.data,
  };
}

/** Of content there is more than the columns where attributes were changed. */
function detailOf({ attributes }: JournalEvent['data']): unknown {
  return attributes === undefined ? null : { attributes };
}

const succeeded = { resultType: 'Succeeded', resultDescription: '200', reason: '' } as const;

const accessSchema = z.object({
  at: z.int(),
  kind: z.string(),
  registryUid: z.string().optional(),
  repository: text,
  tag: text,
  digest: text,
  identity: text,
  principalKind: text,
  address: text,
  userAgent: text,
  correlationId: text,
  status: z.int().catch(0),
  reason: text,
  times: z.int().catch(1),
});

/** An access as the audit shows it; `position` is where its line stands. Throws when the line is none. */
export function recordOfAccess(line: string, position: string): AuditRecord {
  const access = accessSchema.parse(JSON.parse(line));
  const { kind, status, times, repository, tag, digest, reason, userAgent, correlationId, identity } = access;
  return {
    id: `access/${position}`,
    atMicros: access.at,
    category:
      kind === 'pull' || repository !== '' ? 'ContainerRegistryRepositoryEvents' : 'ContainerRegistryLoginEvents',
    operationName: operationNames[kind] ?? kind,
    registryUid: access.registryUid,
    identity,
    principal: identity,
    principalKind: access.principalKind,
    callerIpAddress: access.address,
    userAgent,
    correlationId,
    resultDescription: String(status),
    resultType: status > 0 && status < 400 ? 'Succeeded' : 'Failed',
    reason,
    repository,
    tag,
    digest,
    previous: '',
    mediaType: '',
    artifactType: '',
    size: 0,
    times,
    detail: null,
  };
}

/**
 * When an access was and what it is looked for by, without the check of all its columns: every line of the log is read so once.
 * Throws when the line is none.
 */
export function subjectOfAccess(
  line: string,
): Pick<AuditRecord, 'atMicros' | 'registryUid' | 'operationName' | 'identity' | 'principal' | 'repository'> {
  const { at, kind, registryUid, identity, repository }: Readonly<Record<string, unknown>> = JSON.parse(line);
  if (typeof at !== 'number' || typeof kind !== 'string')
    throw new TypeError('a line of the access log has time and kind');
  const name = textOf(identity);
  return {
    atMicros: at,
    registryUid: typeof registryUid === 'string' ? registryUid : undefined,
    operationName: operationNames[kind] ?? kind,
    identity: name,
    principal: name,
    repository: textOf(repository),
  };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
