import type { ResourceName } from './resource.ts';

export const groupType = 'Microsoft.Resources/resourceGroups';
export const lockType = 'Microsoft.Authorization/locks';

/** Where registries are that were made without naming a group. */
export const homeGroupName = 'berth';

export function subscriptionPath(subscriptionId: string): string {
  return `/subscriptions/${subscriptionId}`;
}

export function groupResourceName(subscriptionId: string, name: string): ResourceName {
  const parentId = subscriptionPath(subscriptionId);
  return { id: `${parentId}/resourceGroups/${name}`, parentId, subscriptionId, groupName: name, type: groupType, name };
}

/** A resource in a group, such as a registry. */
export function memberName(group: ResourceName, type: string, name: string): ResourceName {
  return {
    id: `${group.id}/providers/${type}/${name}`,
    parentId: group.id,
    subscriptionId: group.subscriptionId,
    groupName: group.groupName,
    type,
    name,
  };
}

/** A resource inside another, such as a webhook: its type goes on where the parent's ends. */
export function childName(parent: ResourceName, type: string, name: string): ResourceName {
  const { subscriptionId, groupName } = parent;
  const word = type.slice(type.lastIndexOf('/') + 1);
  return { id: `${parent.id}/${word}/${name}`, parentId: parent.id, subscriptionId, groupName, type, name };
}

/** A resource attached to a subscription, group or resource, such as a lock. */
export function extensionName(
  scope: Pick<ResourceName, 'id' | 'subscriptionId' | 'groupName'>,
  type: string,
  name: string,
): ResourceName {
  const { subscriptionId, groupName } = scope;
  return { id: `${scope.id}/providers/${type}/${name}`, parentId: scope.id, subscriptionId, groupName, type, name };
}

/** The id and everything above it up to the subscription: where locks that hold for it hang. */
export function scopesOf({ id, subscriptionId, groupName }: ResourceName): string[] {
  const subscription = subscriptionPath(subscriptionId);
  if (groupName === undefined) return [...new Set([subscription, id])];
  const group = `${subscription}/resourceGroups/${groupName}`;
  const rest = id.slice(group.length).split('/');
  // Behind the group: '', 'providers', namespace, then pairs of type and name.
  const resources = Array.from({ length: Math.max(0, Math.floor((rest.length - 3) / 2)) }, (_, index) =>
    [group, ...rest.slice(1, 5 + index * 2)].join('/'),
  );
  return [...new Set([subscription, group, ...resources, id])];
}
