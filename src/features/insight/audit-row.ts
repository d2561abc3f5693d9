import type { AuditRow } from '../../wire/events/audit-schema.ts';
import type { Directory } from '../registries/directory.ts';
import type { AuditRecord } from './audit-record.ts';

export type AuditRowParts = {
  readonly directory: Pick<Directory, 'byUid'>;
  /** GUID. */
  readonly tenantId: string;
};

/** A line of the audit in the columns of Azure's log tables. */
export function auditRowOf({ directory, tenantId }: AuditRowParts, record: AuditRecord): AuditRow {
  const registry = record.registryUid === undefined ? undefined : directory.byUid(record.registryUid);
  return {
    TimeGenerated: timeOf(record.atMicros),
    Category: record.category,
    OperationName: record.operationName,
    LoginServer: registry?.loginServer ?? '',
    Identity: record.identity,
    CallerIpAddress: record.callerIpAddress,
    UserAgent: record.userAgent,
    CorrelationId: record.correlationId,
    ResultType: record.resultType,
    ResultDescription: record.resultDescription,
    Repository: record.repository,
    Tag: record.tag,
    Digest: record.digest,
    MediaType: record.mediaType,
    ArtifactType: record.artifactType,
    Size: record.size,
    TenantId: tenantId,
    PrincipalId: record.principal,
    PrincipalKind: record.principalKind,
    Previous: record.previous,
    Reason: record.reason,
    Times: record.times,
    Detail: record.detail,
    Id: record.id,
  };
}

function timeOf(micros: number): string {
  const milliseconds = new Date(Math.floor(micros / 1_000)).toISOString().slice(0, -1);
  return `${milliseconds}${String(micros % 1_000).padStart(3, '0')}Z`;
}
