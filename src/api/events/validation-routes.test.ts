import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type MountedApp, mountedApp } from '../../../test/support/mounted-app.ts';

let mounted: MountedApp;
before(async () => {
  mounted = await mountedApp();
});
after(async () => {
  await mounted.close();
});

const visit = async (method: string) =>
  await mounted.ask(method, '/eventsubscriptions/by-hand/validate?id=%00&token=AAAA');

for (const method of ['GET', 'POST'])
  test(`whoever tries addresses of validation by ${method} is counted as a stranger`, async () => {
    const first = await visit(method);
    assert.equal(first.status, 404);
    const most = Number.parseInt(first.headers.get('ratelimit-limit') ?? '', 10);
    assert(most > 0);
    let refused = first;
    // Meanwhile more may be asked for.
    for (let asked = 0; asked < 2 * most && refused.status === 404; asked += 1) refused = await visit(method);
    assert.equal(refused.status, 429);
    assert.match(refused.headers.get('retry-after') ?? '', /^\d+$/);
  });

test('whoever only looks at the address asks for nothing that is counted', async () => {
  const looked = await visit('HEAD');
  assert.deepEqual([looked.status, looked.headers.get('ratelimit-limit')], [200, null]);
});
