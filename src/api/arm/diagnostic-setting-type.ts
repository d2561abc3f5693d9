import {
  categoriesOf,
  destinationOf,
  diagnosticSettingType,
  validateDiagnosticSetting,
} from '../../features/insight/diagnostic-setting.ts';
import { removeDiagnostic, skipLogsToHead, writeDiagnostic } from '../../features/insight/diagnostic-store.ts';
import { registryType } from '../../features/registries/registry.ts';
import { refuse } from '../../features/resources/refuse.ts';
import { idKey, type Resource } from '../../features/resources/resource.ts';
import { findResource } from '../../features/resources/resource-store.ts';
import { missing } from '../../features/resources/resources.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { isJsonObject, type JsonObject } from '../../wire/arm/json.ts';
import type { ArmType } from './arm-type.ts';
import { refuseMoreAttached } from './attached-limit.ts';

export type DiagnosticSettingParts = {
  readonly database: Pick<Database, 'kind'>;
  /** Names of the destinations in the settings. */
  readonly logDestinations: readonly string[];
};

/** As Azure has it: each of them reads the logs from where it stands. */
const mostSettings = 5;

/** Where the logs of a registry are sent. Source: Microsoft.Insights/diagnosticSettings; recorded from az 2.45 and 2.91. */
export function registryDiagnosticSettingType({ database, logDestinations }: DiagnosticSettingParts): ArmType {
  return {
    type: diagnosticSettingType,
    level: 'extension',
    hasLocation: false,
    hasSystemData: false,
    createdStatus: 200,
    checkName: (name) => {
      if (/^[A-Za-z0-9 _.()-]{1,260}$/.test(name)) return;
      throw refuse('resourceNameInvalid', {
        message: `The name '${name.slice(0, 100)}' is invalid: use letters, digits, spaces, dots, hyphens, underscores and brackets.`,
        target: 'name',
      });
    },
    validate: (validation) => validateDiagnosticSetting(validation, logDestinations),
    settle: async (tx, { resource, previous }) => {
      if (previous === undefined) {
        const registry = await registryOf(tx, resource);
        await refuseMoreAttached(tx, { database, registry, resource, most: mostSettings });
      }
      return resource;
    },
    apply: async ({ tx }, { resource, previous }) => {
      const registry = await registryOf(tx, resource);
      const categories = categoriesOf(resource.properties);
      await writeDiagnostic(tx, {
        uid: resource.uid,
        registryUid: registry.uid,
        categories,
        destination: destinationOf(resource.properties),
        nowMicros: resource.changedAtMicros,
      });
      // What happened before it was there, or while it was off, is not sent.
      const wasOn = previous !== undefined && categoriesOf(previous.properties).length > 0;
      if (categories.length > 0 && !wasOn) await skipLogsToHead(tx, resource.uid, registry.uid);
    },
    forget: async ({ tx }, { uid }) => await removeDiagnostic(tx, uid),
    properties,
  };
}

function properties({ properties: { storageAccountId = null, workspaceId = null, logs } }: Resource): JsonObject {
  const never = { enabled: false, days: 0 };
  return {
    storageAccountId,
    serviceBusRuleId: null,
    workspaceId,
    eventHubAuthorizationRuleId: null,
    eventHubName: null,
    metrics: [],
    logs: Array.isArray(logs) ? logs.filter(isJsonObject).map((each) => ({ ...each, retentionPolicy: never })) : [],
    logAnalyticsDestinationType: null,
  };
}

async function registryOf(tx: Transaction, { tenantUid, parentId }: Resource): Promise<Resource> {
  const parent = await findResource(tx, tenantUid, parentId);
  if (parent === undefined) throw missing(parentId);
  if (idKey(parent.type) === idKey(registryType)) return parent;
  throw refuse('resourceInvalid', {
    message: `Diagnostic settings are those of registries, and '${parentId}' is none.`,
    target: 'scope',
  });
}
