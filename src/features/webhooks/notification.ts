import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { JournalEvent } from '../../platform/journal/journal.ts';
import type { WebhookAction } from './webhook.ts';

/** One thing to be told to receivers, made of an event of the journal; the same event always makes the same ones. */
export type Notification = {
  /** GUID, the same for every receiver and every attempt. */
  readonly id: string;
  readonly action: WebhookAction;
  readonly occurredAtMicros: number;
  readonly target: NotificationTarget;
  readonly request: NotificationRequest | undefined;
  /** Tags that a scope may hold for; those of a deleted manifest are not part of the message. */
  readonly scopeTags: readonly string[];
};

export type NotificationTarget = {
  readonly repository: string;
  readonly digest?: string;
  readonly mediaType?: string;
  readonly sizeBytes?: number;
  readonly tag?: string;
  readonly artifactType?: string;
  readonly subject?: string;
};

/** The request that made the change; work that no request asked for has none. */
export type NotificationRequest = {
  readonly id: string;
  readonly address: string;
  readonly name: string;
  readonly userAgent?: string | undefined;
};

/** What events of content have in common; whatever else they carry is not told. */
const dataSchema = z.object({
  repository: z.string(),
  digest: z.string().optional(),
  mediaType: z.string().optional(),
  sizeBytes: z.number().optional(),
  tag: z.string().optional(),
  tags: z.array(z.string()).default([]),
  artifactType: z.string().optional(),
  subject: z.string().optional(),
  request: z
    .object({ id: z.string(), address: z.string(), name: z.string(), userAgent: z.string().optional() })
    .optional(),
});
type Data = z.infer<typeof dataSchema>;

/** Artifact types of signatures that are attached to what they sign. Sources: Notary Project specification; cosign. */
const signatureTypes = [
  'application/vnd.cncf.notary.signature',
  'application/vnd.dev.cosign.artifact.sig.v1+json',
  'application/vnd.dev.sigstore.bundle.v0.3+json',
];
/** The tag under which cosign keeps the signatures of a digest. */
const signatureTag = /^sha256-[0-9a-f]{64}\.sig$/;

/** Which actions an event stands for; a new kind of event is one more row. */
const actionsOf: Readonly<Record<string, (data: Data) => readonly WebhookAction[]>> = {
  'manifest.pushed': (data) => (isSignature(data) ? ['push', 'quarantine', 'sign'] : ['push', 'quarantine']),
  'manifest.deleted': () => ['delete'],
  'tag.deleted': () => ['untag'],
  'manifest.restored': () => ['restore'],
  'manifest.replicated': () => ['push', 'replicated'],
  'scan.completed': () => ['scan_completed'],
};

/** What an event says to receivers: one notification for each action, and for each tag of a push. */
export function notificationsOf(event: JournalEvent): Notification[] {
  const kind = actionsOf[event.type];
  const data = kind === undefined ? undefined : dataSchema.safeParse(event.data).data;
  if (kind === undefined || data === undefined) return [];
  const told = data.tag === undefined && tellsTags.includes(event.type) ? data.tags : [data.tag];
  const tags = told.length === 0 ? [undefined] : told;
  return tags
    .flatMap((tag) => kind(data).map((action) => ({ tag, action })))
    .map(({ tag, action }, index) => ({
      id: idOf(event, index),
      action,
      occurredAtMicros: event.occurredAtMicros,
      target: targetOf(data, tag),
      request: data.request,
      scopeTags: tag === undefined ? data.tags : [tag],
    }));
}

/** One push that sets several tags is several to those who are told. */
const tellsTags = ['manifest.pushed', 'manifest.restored', 'manifest.replicated'];

function targetOf(data: Data, tag: string | undefined): NotificationTarget {
  const { repository, digest, mediaType, sizeBytes, artifactType, subject } = data;
  return {
    repository,
    ...(digest === undefined ? {} : { digest }),
    ...(mediaType === undefined ? {} : { mediaType }),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
    ...(tag === undefined ? {} : { tag }),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(subject === undefined ? {} : { subject }),
  };
}

function isSignature({ artifactType, tags }: Data): boolean {
  return signatureTypes.includes(artifactType ?? '') || tags.some((tag) => signatureTag.test(tag));
}

/** A GUID made of the event's place in the journal. Source: RFC 9562, section 5.8. */
function idOf({ stream, incarnation, seq }: JournalEvent, index: number): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([stream, incarnation, seq, index]))
    .digest('hex');
  return `${hash.slice(0, 8)}-${hash.slice(8, 12)}-8${hash.slice(13, 16)}-a${hash.slice(17, 20)}-${hash.slice(20, 32)}`;
}
