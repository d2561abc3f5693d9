import type { Json, JsonObject } from '../../wire/arm/json.ts';
import type { Arguments } from './arguments.ts';
import type { PlaceFunctions } from './evaluator.ts';
import { guidOfName } from './name-functions.ts';
import type { HostedGroup } from './resource-host.ts';
import { formatTime } from './time-functions.ts';

/** Where a template is deployed, as its expressions see it. */
export type TemplateScope = {
  readonly tenantId: string;
  readonly subscription: { readonly subscriptionId: string; readonly displayName: string };
  readonly group: HostedGroup;
  /** What `environment()` tells: addresses and suffixes of the installation. */
  readonly environment: JsonObject;
  readonly deploymentName: string;
};

/** Functions about the place of a deployment, by lower-cased name. Source: Azure Resource Manager, "Scope functions". */
export function scopeFunctions(scope: TemplateScope): PlaceFunctions {
  const { subscriptionId, displayName } = scope.subscription;
  const subscriptionPath = `/subscriptions/${subscriptionId}`;
  const group = groupView(scope.group);
  return {
    resourcegroup: (args) => args.count(0) && group,
    subscription: (args) =>
      args.count(0) && { id: subscriptionPath, subscriptionId, tenantId: scope.tenantId, displayName },
    tenant: (args) => args.count(0) && { tenantId: scope.tenantId, displayName: 'Berth' },
    environment: (args) => args.count(0) && scope.environment,
    resourceid: (args) => resourceId(args, scope),
    subscriptionresourceid: (args) => {
      const { before, type, names } = typeAndNames(args);
      return `/subscriptions/${before[0] ?? subscriptionId}/providers/${zipped(args, type, names)}`;
    },
    tenantresourceid: (args) => {
      const { type, names } = typeAndNames(args);
      return `/providers/${zipped(args, type, names)}`;
    },
    extensionresourceid: (args) => {
      const names = args
        .count(3, Number.POSITIVE_INFINITY)
        .all.slice(2)
        .map((_, index) => args.text(index + 2));
      return `${args.text(0)}/providers/${zipped(args, args.text(1), names)}`;
    },
  };
}

/** What only the default of a parameter may use: it is computed once for a deployment. */
export function defaultFunctions(nowMicros: number, seed: string): PlaceFunctions {
  let count = 0;
  return {
    utcnow: (args) =>
      formatTime(args, new Date(nowMicros / 1_000), args.all.length > 0 ? args.text(0) : 'yyyyMMddTHHmmssZ'),
    newguid: (args) => {
      args.count(0);
      count += 1;
      return guidOfName(seed, String(count));
    },
  };
}

/** `Microsoft.X/a/b` and names `1`, `2` make `Microsoft.X/a/1/b/2`. */
export function zipped(args: Arguments, type: string, names: readonly string[]): string {
  const path = typePath(type, names);
  if (path === undefined) throw args.fail(`the type '${type}' needs another number of names than ${names.length}`);
  return path;
}

/** Undefined when there is not one name for each part of the type. */
export function typePath(type: string, names: readonly string[]): string | undefined {
  const [namespace = '', ...words] = type.split('/');
  if (words.length !== names.length || words.length === 0 || names.includes('')) return undefined;
  return [namespace, ...words.flatMap((word, index) => [word, names[index] ?? ''])].join('/');
}

function resourceId(args: Arguments, { subscription, group }: TemplateScope): Json {
  const { before, type, names } = typeAndNames(args);
  const groupName = before.at(-1) ?? group.name;
  const subscriptionId = (before.length > 1 ? before[0] : undefined) ?? subscription.subscriptionId;
  return `/subscriptions/${subscriptionId}/resourceGroups/${groupName}/providers/${zipped(args, type, names)}`;
}

/** The type is the first argument with a slash; what stands before it says where. */
function typeAndNames(args: Arguments) {
  const texts = args.count(2, Number.POSITIVE_INFINITY).all.map((_, index) => args.plain(index));
  const at = texts.findIndex((text) => text.includes('/'));
  const type = texts[at];
  if (type === undefined || at > 2)
    throw args.fail('no argument is a resource type, such as Microsoft.ContainerRegistry/registries');
  return { before: texts.slice(0, at), type, names: texts.slice(at + 1) };
}

function groupView({ id, name, location, tags }: HostedGroup): JsonObject {
  return {
    id,
    name,
    type: 'Microsoft.Resources/resourceGroups',
    location,
    tags,
    properties: { provisioningState: 'Succeeded' },
  };
}
