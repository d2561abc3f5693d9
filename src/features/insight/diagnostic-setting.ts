import { diagnosticSettingSchema } from '../../wire/arm/diagnostic-setting-schema.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import { parseProperties } from '../resources/parse-properties.ts';
import { refuse } from '../resources/refuse.ts';
import type { Desired } from '../resources/resource.ts';
import type { Validation } from '../resources/resource-type.ts';

export const diagnosticSettingType = 'Microsoft.Insights/diagnosticSettings';

/** The log tables that Azure has for registries. Source: ACR semantics, "Logs". */
export const logCategories = ['ContainerRegistryRepositoryEvents', 'ContainerRegistryLoginEvents'] as const;
export type LogCategory = (typeof logCategories)[number];

const groups = ['allLogs', 'audit'];

/** Checks what a request says of a diagnostic setting; pure. Throws `resourceInvalid`, naming the destinations there are. */
export function validateDiagnosticSetting({ desired }: Validation, destinations: readonly string[]): Desired {
  const given = parseProperties(diagnosticSettingSchema, desired.properties, 'properties');
  const { storageAccountId, workspaceId, eventHubAuthorizationRuleId, marketplacePartnerId } = given;
  if (eventHubAuthorizationRuleId || marketplacePartnerId)
    throw invalid('eventHubAuthorizationRuleId', 'There are no event hubs and partners here.', destinations);
  if ((given.metrics ?? []).some(({ enabled }) => enabled))
    throw refuse('resourceInvalid', {
      message: 'Metrics are not sent: read them with az monitor metrics, or scrape /metrics. Leave metrics out.',
      target: 'properties.metrics',
    });
  const ids = [storageAccountId, workspaceId].filter((id) => id !== null && id !== undefined && id !== '');
  const [id] = ids;
  if (id === undefined) throw invalid('storageAccountId', 'The diagnostic setting has no destination.', destinations);
  if (ids.length > 1)
    throw invalid('workspaceId', 'One setting has one destination: make another for the other.', destinations);
  const name = destinationOf({ storageAccountId: id });
  if (!destinations.includes(name))
    throw invalid('storageAccountId', `The destination '${name.slice(0, 100)}' does not exist.`, destinations);
  const properties: JsonObject = {
    storageAccountId: storageAccountId || null,
    workspaceId: workspaceId || null,
    logs: logsOf(given.logs ?? []),
  };
  return { ...desired, location: undefined, sku: undefined, identity: undefined, properties };
}

type Log = NonNullable<ReturnType<typeof diagnosticSettingSchema.parse>['logs']>[number];

function logsOf(logs: readonly Log[]): JsonObject[] {
  return logs.map(({ category, categoryGroup, enabled }, at) => {
    const isCategory = logCategories.some((each) => each === category);
    const isGroup = groups.some((each) => each === categoryGroup);
    if (isCategory === isGroup)
      throw refuse('resourceInvalid', {
        message:
          `Category '${String(category ?? categoryGroup).slice(0, 100)}' is not supported: ` +
          `use one of ${logCategories.join(', ')}, or a categoryGroup of ${groups.join(', ')}.`,
        target: `properties.logs[${at}]`,
      });
    return {
      category: isCategory ? (category ?? null) : null,
      categoryGroup: isGroup ? (categoryGroup ?? null) : null,
      enabled,
    };
  });
}

/** Of stored properties: the last word of the id is the name of a destination in the settings. */
export function destinationOf({ storageAccountId, workspaceId }: JsonObject): string {
  const id = String(storageAccountId ?? workspaceId ?? '');
  return id.slice(id.lastIndexOf('/') + 1).toLowerCase();
}

/** Of stored properties. */
export function categoriesOf({ logs }: JsonObject): LogCategory[] {
  const enabled = parseProperties(diagnosticSettingSchema, { logs: logs ?? [] }, '').logs?.filter((log) => log.enabled);
  return logCategories.filter((each) =>
    enabled?.some(({ category, categoryGroup }) => category === each || groups.includes(categoryGroup ?? '')),
  );
}

function invalid(target: string, message: string, destinations: readonly string[]) {
  const known =
    destinations.length === 0
      ? 'The operator of this installation has set none (--log-destinations).'
      : `Give --storage-account or --workspace an id whose last word is one of: ${destinations.join(', ')}.`;
  return refuse('resourceInvalid', { message: `${message} ${known}`, target: `properties.${target}` });
}
