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
  /** Of charts alone. */
  readonly chart?: { readonly name: string; readonly version?: string };
  /** What a scanner says; details are JSON, as it wrote it. */
  readonly quarantine?: { readonly state: string; readonly details?: string };
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
  quarantine: z.object({ state: z.string(), details: z.string().nullable() }).optional(),
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

/** The config of a chart that Helm pushed. Source: Helm, "OCI based registries". */
const chartType = 'application/vnd.cncf.helm.config.v1+json';

/** One thing that an event says. */
type Told = { readonly action: WebhookAction; readonly tag?: string | undefined };

/** What an event says; a new kind of event is one more row. */
const toldBy: Readonly<Record<string, (data: Data) => readonly Told[]>> = {
  'manifest.pushed': (data) =>
    eachTag(data, (tag) => [
      'push',
      'quarantine',
      ...(isSignature(data) ? (['sign'] as const) : []),
      // Helm pushes by digest first; the tag is the version, without which there is no chart.
      ...(isChart(data) && tag !== undefined ? (['chart_push'] as const) : []),
    ]),
  'manifest.deleted': (data) => [
    { action: 'delete' },
    // Without a tag it was no version of a chart any more: another push took its place.
    ...(isChart(data) ? data.tags.map((tag) => ({ action: 'chart_delete', tag }) as const) : []),
  ],
  'manifest.restored': (data) => eachTag(data, () => ['restore']),
  'manifest.replicated': (data) => eachTag(data, () => ['push', 'replicated']),
  // That somebody has still to look at it is no result.
  'manifest.updated': ({ quarantine }) =>
    quarantine === undefined || quarantine.state === 'Quarantined' ? [] : [{ action: 'scan_completed' }],
  'tag.deleted': ({ tag }) => [{ action: 'untag', tag }],
};

/** One push that sets several tags is several to those who are told. */
function eachTag({ tag, tags }: Data, actions: (tag: string | undefined) => readonly WebhookAction[]): Told[] {
  const all = tag === undefined ? tags : [tag];
  return (all.length === 0 ? [undefined] : all).flatMap((each) =>
    actions(each).map((action) => ({ action, tag: each })),
  );
}

/** What an event says to receivers: one notification for each action, and for each tag of a push. */
export function notificationsOf(event: JournalEvent): Notification[] {
  const kind = toldBy[event.type];
  const data = kind === undefined ? undefined : dataSchema.safeParse(event.data).data;
  if (kind === undefined || data === undefined) return [];
  return kind(data).map(({ action, tag }, index) => ({
    id: idOf(event, index),
    action,
    occurredAtMicros: event.occurredAtMicros,
    target: targetOf(action, data, tag),
    request: data.request,
    scopeTags: tag === undefined ? data.tags : [tag],
  }));
}

function targetOf(action: WebhookAction, data: Data, tag: string | undefined): NotificationTarget {
  const { repository, digest, mediaType, sizeBytes, artifactType, subject, quarantine } = data;
  return {
    repository,
    ...(digest === undefined ? {} : { digest }),
    ...(mediaType === undefined ? {} : { mediaType }),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
    ...(tag === undefined ? {} : { tag }),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(subject === undefined ? {} : { subject }),
    ...(action === 'chart_push' || action === 'chart_delete' ? { chart: chartOf(repository, tag) } : {}),
    ...(action === 'scan_completed' && quarantine !== undefined
      ? { quarantine: { state: quarantine.state, ...(quarantine.details !== null && { details: quarantine.details }) } }
      : {}),
  };
}

function isChart({ artifactType }: Data): boolean {
  return artifactType === chartType;
}

/** Helm names the repository after the chart and the tag after its version, with `_` for the `+` that no tag may have. */
function chartOf(repository: string, tag: string | undefined): NonNullable<NotificationTarget['chart']> {
  const name = repository.slice(repository.lastIndexOf('/') + 1);
  return { name, ...(tag !== undefined && { version: tag.replaceAll('_', '+') }) };
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
