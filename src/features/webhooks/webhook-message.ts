import type { Notification, NotificationTarget } from './notification.ts';
import type { WebhookForm } from './webhook.ts';

/** One or more notifications as one request. */
export type Message = {
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
};

/** The registry that a message is about. */
export type MessageOrigin = {
  readonly loginServer: string;
  /** ARM id. */
  readonly resourceId: string;
  readonly location: string;
};

/** Writes notifications in the form a receiver wants. `acr` carries one; the others as many as are given. */
export function messageOf(form: WebhookForm, origin: MessageOrigin, notifications: readonly Notification[]): Message {
  switch (form) {
    case 'acr': {
      const [only] = notifications;
      if (only === undefined) throw new TypeError('a message carries something');
      return { contentType: 'application/json', headers: {}, body: JSON.stringify(acrContent(origin, only)) };
    }
    case 'eventGrid': {
      const body = JSON.stringify(notifications.map((each) => gridEvent(origin, each)));
      return { contentType: 'application/json; charset=utf-8', headers: { 'aeg-event-type': 'Notification' }, body };
    }
    case 'cloudEvents': {
      const events = notifications.map((each) => cloudEvent(origin, each));
      // Source: CloudEvents HTTP protocol binding, sections 3.2 and 3.3.
      return events.length === 1
        ? { contentType: 'application/cloudevents+json; charset=utf-8', headers: {}, body: JSON.stringify(events[0]) }
        : {
            contentType: 'application/cloudevents-batch+json; charset=utf-8',
            headers: {},
            body: JSON.stringify(events),
          };
    }
  }
}

/** The body of a webhook. Source: ACR semantics, "Payloads". */
function acrContent({ loginServer }: MessageOrigin, notification: Notification): object {
  const { id, action, occurredAtMicros, target, request } = notification;
  const timestamp = timestampOf(occurredAtMicros);
  return {
    id,
    timestamp,
    action,
    target: acrTarget(action, target),
    ...(target.chart === undefined && {
      request: {
        id: request?.id ?? id,
        host: loginServer,
        method: methodOf(action),
        ...(action === 'quarantine' || request?.userAgent === undefined ? {} : { useragent: request.userAgent }),
      },
    }),
  };
}

/** RFC 3339 in UTC, with seven digits behind the second. */
export function timestampOf(micros: number): string {
  const digits = String(micros % 1_000_000).padStart(6, '0');
  return `${new Date(Math.floor(micros / 1_000_000) * 1_000).toISOString().slice(0, 19)}.${digits}0Z`;
}

/** `Microsoft.ContainerRegistry.ImagePushed`, ...; beyond Azure's four there are ours. Source: ACR semantics, "Event Grid". */
export function gridTypeOf(action: Notification['action']): string {
  return `Microsoft.ContainerRegistry.${gridTypes[action]}`;
}

const gridTypes: Readonly<Record<Notification['action'], string>> = {
  push: 'ImagePushed',
  delete: 'ImageDeleted',
  chart_push: 'ChartPushed',
  chart_delete: 'ChartDeleted',
  quarantine: 'ImageQuarantined',
  untag: 'ImageUntagged',
  restore: 'ImageRestored',
  scan_completed: 'ScanCompleted',
  replicated: 'ImageReplicated',
  sign: 'ImageSigned',
};

/** `repository:tag`, or the repository alone where there is no tag. */
export function subjectOf({ target }: Notification): string {
  return target.tag === undefined ? target.repository : `${target.repository}:${target.tag}`;
}

function gridEvent(origin: MessageOrigin, notification: Notification): object {
  return {
    id: notification.id,
    topic: origin.resourceId,
    subject: subjectOf(notification),
    eventType: gridTypeOf(notification.action),
    eventTime: timestampOf(notification.occurredAtMicros),
    data: gridData(origin, notification),
    dataVersion: '1.0',
    metadataVersion: '1',
  };
}

/** Source: CloudEvents 1.0, "Required attributes". */
export function cloudEvent(origin: MessageOrigin, notification: Notification): object {
  return {
    specversion: '1.0',
    id: notification.id,
    source: origin.resourceId,
    type: gridTypeOf(notification.action),
    subject: subjectOf(notification),
    time: timestampOf(notification.occurredAtMicros),
    datacontenttype: 'application/json',
    data: gridData(origin, notification),
  };
}

function gridData(origin: MessageOrigin, { id, action, occurredAtMicros, target, request }: Notification): object {
  return {
    id,
    timestamp: timestampOf(occurredAtMicros),
    action,
    location: origin.location,
    target: acrTarget(action, target),
    ...(target.chart === undefined && {
      request: {
        id: request?.id ?? id,
        ...(request === undefined ? {} : { addr: request.address }),
        host: origin.loginServer,
        method: methodOf(action),
        ...(request?.userAgent === undefined ? {} : { useragent: request.userAgent }),
      },
    }),
    ...(request === undefined ? {} : { actor: { name: request.name } }),
  };
}

function acrTarget(action: Notification['action'], target: NotificationTarget): object {
  if (target.chart !== undefined) return chartTarget(target, target.chart);
  const { mediaType, sizeBytes, digest, repository, tag, artifactType, subject, quarantine } = target;
  const isOfAzure = ['push', 'delete', 'quarantine'].includes(action);
  return {
    ...(mediaType === undefined || action === 'quarantine' ? {} : { mediaType }),
    ...(sizeBytes === undefined || action === 'delete' ? {} : { size: sizeBytes }),
    ...(digest === undefined ? {} : { digest }),
    ...(sizeBytes === undefined || action === 'delete' ? {} : { length: sizeBytes }),
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(isOfAzure || artifactType === undefined ? {} : { artifactType }),
    ...(isOfAzure || subject === undefined ? {} : { subject }),
    ...(quarantine !== undefined && { quarantineState: quarantine.state }),
    ...(quarantine?.details !== undefined && { quarantineDetails: quarantine.details }),
  };
}

/** The media type is the one that receivers of charts know, whatever form the chart was pushed in. Source: ACR semantics, "Payloads". */
function chartTarget(
  { sizeBytes, digest, repository, tag }: NotificationTarget,
  chart: NonNullable<NotificationTarget['chart']>,
): object {
  return {
    mediaType: 'application/vnd.acr.helm.chart',
    ...(sizeBytes !== undefined && { size: sizeBytes }),
    ...(digest !== undefined && { digest }),
    repository,
    ...(tag !== undefined && { tag }),
    ...chart,
  };
}

function methodOf(action: Notification['action']): 'PUT' | 'PATCH' | 'POST' | 'DELETE' {
  switch (action) {
    case 'delete':
    case 'untag':
      return 'DELETE';
    case 'scan_completed':
      return 'PATCH';
    case 'restore':
      return 'POST';
    default:
      return 'PUT';
  }
}
