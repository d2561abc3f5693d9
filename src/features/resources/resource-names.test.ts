import assert from 'node:assert/strict';
import { test } from 'node:test';
import { childName, extensionName, groupResourceName, lockType, memberName, scopesOf } from './resource-names.ts';

const subscription = '/subscriptions/s';
const group = groupResourceName('s', 'demo');
const registry = memberName(group, 'Microsoft.ContainerRegistry/registries', 'contoso');
const webhook = childName(registry, 'Microsoft.ContainerRegistry/registries/webhooks', 'ping1');

test('ids are made of the parent and the type', () => {
  assert.equal(group.id, `${subscription}/resourceGroups/demo`);
  assert.equal(registry.id, `${group.id}/providers/Microsoft.ContainerRegistry/registries/contoso`);
  assert.equal(webhook.id, `${registry.id}/webhooks/ping1`);
  assert.equal(extensionName(webhook, lockType, 'l').id, `${webhook.id}/providers/Microsoft.Authorization/locks/l`);
});

test('what holds for a resource hangs on it or on anything above', () => {
  assert.deepEqual(scopesOf(group), [subscription, group.id]);
  assert.deepEqual(scopesOf(registry), [subscription, group.id, registry.id]);
  assert.deepEqual(scopesOf(webhook), [subscription, group.id, registry.id, webhook.id]);
});
