import { z } from 'zod';
import { parseInstant } from '../../core/instant.ts';

/** A line of the audit, in the columns of Azure's log tables; those that do not fit are empty. Source: ACR semantics, "Logs". */
export const auditRowSchema = z.object({
  /** RFC 3339 with microseconds. */
  TimeGenerated: z.string(),
  Category: z.string(),
  OperationName: z.string(),
  LoginServer: z.string(),
  Identity: z.string(),
  CallerIpAddress: z.string(),
  UserAgent: z.string(),
  CorrelationId: z.string(),
  ResultType: z.string(),
  ResultDescription: z.string(),
  Repository: z.string(),
  Tag: z.string(),
  Digest: z.string(),
  MediaType: z.string(),
  ArtifactType: z.string(),
  /** Bytes of the manifest. */
  Size: z.int(),
  TenantId: z.string(),
  /** Ours: uid and kind of the identity, why it was denied, how many denials this line stands for, the new state, and the line's place. */
  PrincipalId: z.string(),
  /** `registryAdmin` for the admin account of a registry. */
  PrincipalKind: z.string(),
  /** Digest that a tag pointed to before it was set. */
  Previous: z.string(),
  Reason: z.string(),
  Times: z.int(),
  Detail: z.unknown(),
  Id: z.string(),
});
export type AuditRow = z.infer<typeof auditRowSchema>;

/** Answer of `GET /admin/audit` and `GET /admin/registries/{name}/audit`: newest first; `next` goes into `cursor`. */
export const auditPageSchema = z.object({ value: z.array(auditRowSchema), next: z.string().nullable() });
export type AuditPageView = z.infer<typeof auditPageSchema>;

const instant = z.string().transform((text, context) => {
  const micros = parseInstant(text);
  if (micros !== undefined) return micros;
  context.addIssue('an instant is needed: 2030-01-31T12:00:00Z');
  return z.NEVER;
});

/** Their query. */
export const auditQuerySchema = z.strictObject({
  identity: z.string().max(400).optional(),
  operation: z.string().max(100).optional(),
  repository: z.string().max(255).optional(),
  category: z.enum(['ContainerRegistryLoginEvents', 'ContainerRegistryRepositoryEvents', 'Administrative']).optional(),
  address: z.string().max(100).optional(),
  result: z.enum(['Succeeded', 'Failed']).optional(),
  tag: z.string().max(128).optional(),
  digest: z.string().max(200).optional(),
  correlationId: z.string().max(100).optional(),
  from: instant.optional(),
  to: instant.optional(),
  limit: z
    .string()
    .regex(/^\d{1,4}$/)
    .transform(Number)
    .pipe(z.int().min(1).max(1_000))
    .default(100),
  cursor: z.string().max(1_000).optional(),
});
export type AuditQuery = z.input<typeof auditQuerySchema>;

/** A line of the answer of `POST /admin/audit/verify`: one for the checkpoints, then one for each stream. */
export const auditFindingSchema = z.object({
  kind: z.enum(['whole', 'broken']),
  source: z.enum(['checkpoints', 'journal', 'access']),
  stream: z.string(),
  incarnation: z.string(),
  count: z.int(),
  /** Batches of accesses that retention removed for good, beside those that were read. */
  removed: z.int(),
  /** Sequence number of the first entry that is changed, missing or inserted. */
  at: z.int().nullable(),
  /** Of one that is whole: what is to be known all the same. */
  reason: z.string().nullable(),
});
export type AuditFinding = z.infer<typeof auditFindingSchema>;

/** Answer of `POST /admin/audit/accept`: numbers of the checkpoints that are not expected any longer, or null where none were missing. */
export const auditAcceptanceSchema = z.object({
  missing: z.object({ first: z.int(), last: z.int() }).nullable(),
});
export type AuditAcceptance = z.infer<typeof auditAcceptanceSchema>;
