import { BerthError } from '../../core/errors.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { ResourceName } from '../../features/resources/resource.ts';
import {
  childName,
  extensionName,
  groupResourceName,
  memberName,
  subscriptionPath,
} from '../../features/resources/resource-names.ts';
import type { ArmType } from './arm-type.ts';
import { resourceGroupType } from './group-type.ts';

/** What an address below a subscription stands for. */
export type ArmTarget =
  | { readonly kind: 'resource'; readonly type: ArmType; readonly name: ResourceName }
  /** Everything of a type at or below a scope. */
  | { readonly kind: 'collection'; readonly type: ArmType; readonly scope: ResourceName }
  | { readonly kind: 'action'; readonly type: ArmType; readonly name: ResourceName; readonly word: string };

export type FindType = (type: string) => ArmType | undefined;

type Walk = { readonly scope: ResourceName; readonly type: ArmType | undefined };

/**
 * Reads `/subscriptions/{s}[/resourceGroups/{g}][/providers/{namespace}/{type}/{name}...]`, whatever its case; names are kept
 * as they were typed. Throws `resourceTypeUnknown`.
 */
export function parseTarget(segments: readonly string[], subscriptionId: string, findType: FindType): ArmTarget {
  const rest = segments.slice(2);
  const [word = '', groupName] = rest;
  const isGroup = word.toLowerCase() === 'resourcegroups';
  if (isGroup && groupName === undefined) {
    return { kind: 'collection', type: resourceGroupType, scope: subscriptionScope(subscriptionId) };
  }
  const start: Walk =
    isGroup && groupName !== undefined
      ? { scope: groupResourceName(subscriptionId, groupName), type: resourceGroupType }
      : { scope: subscriptionScope(subscriptionId), type: undefined };
  return walk(isGroup ? rest.slice(2) : rest, start, findType);
}

/** A subscription as a scope. */
export function subscriptionScope(subscriptionId: string): ResourceName {
  const id = subscriptionPath(subscriptionId);
  const type = 'Microsoft.Resources/subscriptions';
  return { id, parentId: '', subscriptionId, groupName: undefined, type, name: subscriptionId };
}

function walk(rest: readonly string[], { scope, type }: Walk, findType: FindType): ArmTarget {
  const [first] = rest;
  if (first === undefined) {
    if (type === undefined) throw new BerthError('resourceTypeUnknown');
    return { kind: 'resource', type, name: scope };
  }
  if (first.toLowerCase() === 'providers') return walkProvider(rest, scope, findType);
  return walkChild(rest, { scope, type }, findType);
}

/** A resource of a namespace: in the group, or attached to whatever stands before. */
function walkProvider(rest: readonly string[], scope: ResourceName, findType: FindType): ArmTarget {
  const [, namespace = '', word = '', name] = rest;
  const type = findType(`${namespace}/${word}`);
  const isGroup = scope.type === resourceGroupType.type;
  const isMember = type?.level === 'group';
  const fits = type !== undefined && (type.level === 'extension' || (isMember && (isGroup || name === undefined)));
  if (!fits) throw unknownType(`${namespace}/${word}`);
  if (name === undefined) return { kind: 'collection', type, scope };
  const named = isMember ? memberName(scope, type.type, name) : extensionName(scope, type.type, name);
  return walk(rest.slice(4), { scope: named, type }, findType);
}

/** A child of the resource, or an action on it. */
function walkChild(rest: readonly string[], { scope, type: parent }: Walk, findType: FindType): ArmTarget {
  const [word = '', name] = rest;
  if (parent === undefined) throw unknownType(word);
  const type = findType(`${parent.type}/${word}`);
  if (type?.level === 'child') {
    if (name === undefined) return { kind: 'collection', type, scope };
    return walk(rest.slice(2), { scope: childName(scope, type.type, name), type }, findType);
  }
  if (name !== undefined || parent.actions?.[word.toLowerCase()] === undefined)
    throw unknownType(`${parent.type}/${word}`);
  return { kind: 'action', type: parent, name: scope, word: word.toLowerCase() };
}

function unknownType(type: string): BerthError {
  const isDeployment = type.toLowerCase() === 'microsoft.resources/deployments';
  return refuse('resourceTypeUnknown', {
    message: isDeployment
      ? 'Templates are deployed to resource groups here, not to subscriptions: use az deployment group.'
      : `The resource type or action '${type.slice(0, 200)}' could not be found in the namespaces of this installation.`,
    target: type.slice(0, 200),
  });
}
