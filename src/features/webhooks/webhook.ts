/** What a webhook can be told of. The first five are Azure's. */
export const webhookActions = [
  'push',
  'delete',
  'quarantine',
  'chart_push',
  'chart_delete',
  'untag',
  'restore',
  'scan_completed',
  'replicated',
  'sign',
] as const;
export type WebhookAction = (typeof webhookActions)[number];

/** Where deliveries go; sealed in the database. */
export type WebhookTarget = {
  readonly serviceUri: string;
  readonly customHeaders: Readonly<Record<string, string>>;
  /** Base64 of the key that deliveries are signed with. */
  readonly signingKey: string;
};

/** What a webhook wants to hear of. */
export type WebhookFilter = {
  /** As `parseScope` reads it; empty for everything. */
  readonly scope: string;
  readonly actions: readonly WebhookAction[];
};

/** How events are written for the receiver: as Azure's webhooks, Event Grid or CloudEvents have them. */
export type WebhookForm = 'acr' | 'eventGrid' | 'cloudEvents';
