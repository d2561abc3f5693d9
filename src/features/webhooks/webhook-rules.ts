import type { JsonObject } from '../../wire/arm/json.ts';
import { webhookPropertiesSchema } from '../../wire/events/webhook-schema.ts';
import { parseProperties } from '../resources/parse-properties.ts';
import { refuse } from '../resources/refuse.ts';
import type { Desired } from '../resources/resource.ts';
import type { Validation } from '../resources/resource-type.ts';
import { type WebhookAction, type WebhookFilter, webhookActions } from './webhook.ts';
import { parseScope } from './webhook-scope.ts';

export const webhookType = 'Microsoft.ContainerRegistry/registries/webhooks';

/**
 * Checks what a request says of a webhook and fills in defaults. Address and headers stay in plain text only until they are
 * settled (`settleWebhook`), which leaves `sealed`. Throws `resourceInvalid`.
 */
export function validateWebhook({ desired, existing }: Validation): Desired {
  const given = parseProperties(webhookPropertiesSchema, desired.properties, 'properties');
  // A PATCH brings what is stored along; nobody outside has seen it.
  const sealed = existing?.properties.sealed;
  const keepsTarget = typeof sealed === 'string' && desired.properties.sealed === sealed;
  if (!given.serviceUri && !keepsTarget)
    throw invalid('properties.serviceUri', 'A webhook needs a serviceUri: the http or https address that it calls.');
  const properties: JsonObject = {
    status: given.status ?? 'enabled',
    scope: scopeOf(given.scope ?? ''),
    actions: actionsOf(given.actions ?? undefined),
    ...(keepsTarget ? { sealed } : {}),
    ...(given.serviceUri ? { serviceUri: given.serviceUri } : {}),
    ...(given.customHeaders ? { customHeaders: given.customHeaders } : {}),
  };
  return { ...desired, sku: undefined, identity: undefined, properties };
}

/** What a stored webhook wants to hear of. */
export function filterOf(properties: JsonObject): WebhookFilter {
  const { scope, actions } = properties;
  const known = Array.isArray(actions) ? webhookActions.filter((action) => actions.includes(action)) : [];
  return { scope: typeof scope === 'string' ? scope : '', actions: known };
}

function scopeOf(scope: string): string {
  if (parseScope(scope) !== undefined) return scope;
  throw invalid(
    'properties.scope',
    `The scope '${scope.slice(0, 200)}' is not valid: use app:v1, app:*, app (for app:latest), team/*, or leave it empty for everything.`,
  );
}

/** Each once, in the order of the catalogue. */
function actionsOf(actions: readonly string[] | undefined): WebhookAction[] {
  const unknown = actions?.find((action) => !webhookActions.some((known) => known === action));
  if (actions === undefined || actions.length === 0 || unknown !== undefined)
    throw invalid(
      'properties.actions',
      `${unknown === undefined ? 'A webhook needs actions' : `The action '${unknown.slice(0, 50)}' is not known`}: ` +
        `use ${webhookActions.join(', ')}.`,
    );
  return webhookActions.filter((known) => actions.includes(known));
}

function invalid(target: string, message: string) {
  return refuse('resourceInvalid', { message, target });
}
