import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fullAuthority } from '../../../test/support/content-process.ts';
import { sampleCircumstances } from '../../../test/support/sample-access.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import { eventsOf } from './content-events.ts';

const place = { registryUid: 'contoso', repository: parseRepositoryName('app') };

test('an event of content says who asked, of what kind, from where', () => {
  const authority = fullAuthority('somebody', {
    principal: { kind: 'registryAdmin', uid: 'u', name: 'contoso', isOwner: false, registryUid: 'contoso' },
    circumstances: sampleCircumstances,
  });
  const { actor, data } = eventsOf(place, authority, 'here')('tag.set', { tag: 'v1' });
  const { correlationId: id, address } = sampleCircumstances;
  assert.partialDeepStrictEqual(
    { actor, data },
    {
      actor: 'u',
      data: { repository: 'app', tag: 'v1', request: { id, address, name: 'contoso', kind: 'registryAdmin' } },
    },
  );
});
