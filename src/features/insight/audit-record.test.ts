import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordOfEvent } from './audit-record.ts';

const names = {
  'manifest.pushed': 'Push',
  'tag.deleted': 'Untag',
  'repository.updated': 'Update Repository',
  'tag.updated': 'Update Tag',
  'manifest.updated': 'Update Manifest',
  'managedIdentity.created': 'Create Managed Identity',
  'managedIdentity.deleted': 'Delete Managed Identity',
  'identityBinding.created': 'Create Identity Binding',
  'identityBinding.deleted': 'Delete Identity Binding',
  'resource.updated': 'resource.updated',
};

test('events have the names of operations', () => {
  const place = { stream: 'registry/contoso/here', incarnation: 'i', seq: 1 };
  for (const [type, name] of Object.entries(names)) {
    const event = { ...place, type, version: 1, actor: 'olivia', data: {}, occurredAtMicros: 1, hash: '' };
    assert.equal(recordOfEvent(event).operationName, name);
  }
});

test('a change of attributes has the new ones as its detail; other changes of content have none', () => {
  const place = { stream: 'registry/contoso/here', incarnation: 'i', seq: 1, version: 1, actor: 'olivia' };
  const detailOf = (type: string, data: Readonly<Record<string, unknown>>) =>
    recordOfEvent({ ...place, type, data: { repository: 'app', ...data }, occurredAtMicros: 1, hash: '' }).detail;
  const attributes = { deleteEnabled: false, writeEnabled: true };
  assert.deepEqual(detailOf('tag.updated', { tag: 'v1', attributes }), { attributes });
  assert.equal(detailOf('tag.set', { tag: 'v1', digest: 'sha256:0' }), null);
});
