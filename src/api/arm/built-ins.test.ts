import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleAccess, sampleProcess } from '../../../test/support/sample-access.ts';
import { sampleRepositoryTokens } from '../../../test/support/sample-repository-tokens.ts';
import { systemScopeMaps } from '../../features/access/scope-map.ts';
import { childName } from '../../features/resources/resource-names.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { findBuiltIn, listWithBuiltIns, refuseBuiltIn } from './built-ins.ts';

forEachDatabase((_, open) => {
  const clock = new HeldClock();
  let database: Database;
  let tenantUid: string;
  let tokens: Awaited<ReturnType<typeof sampleRepositoryTokens>>;

  before(async () => {
    database = await open();
    const sample = await sampleAccess(database);
    tenantUid = sample.tenantUid;
    const here = await sampleProcess(database, tenantUid, clock);
    await here.close();
    tokens = await sampleRepositoryTokens({ ...sample, database, journal: here.journal, clock });
    for (const name of ['0first', 'Middle', 'zlast']) await tokens.map(name, 'app/content/read');
  });

  const list = async (limit: number, after?: string) => {
    const { registry, types } = tokens;
    const query = { tenantUid, subscriptionId: registry.subscriptionId, parentId: registry.id, type: types.maps.type };
    const page = { ...query, limit, ...(after === undefined ? {} : { after }) };
    return await listWithBuiltIns({ database, tenantUid }, types.maps, page);
  };
  const named = (name: string) => childName(tokens.registry, tokens.types.maps.type, name);

  test('pages of a list hold what is built in and what people made, in the order of ids, each once', async () => {
    const expected = ['0first', ...Object.keys(systemScopeMaps).sort(), 'Middle', 'zlast'];
    assert.deepEqual(
      (await list(100)).map(({ name }) => name),
      expected,
    );
    for (const limit of [1, 2, 3, 7]) {
      const found: string[] = [];
      let after: string | undefined;
      do {
        const page = await list(limit, after);
        found.push(...page.map(({ name }) => name));
        after = page.at(-1)?.id.toLowerCase();
      } while (after !== undefined);
      assert.deepEqual(found, expected, `${limit} at once`);
    }
  });

  test('what is built in is found whatever its case, and only in a parent that exists', async () => {
    const parts = { database, tenantUid };
    const found = await findBuiltIn(parts, tokens.types.maps, named('_Repositories_PULL'));
    assert.equal(found?.name, '_repositories_pull');
    assert.equal(await findBuiltIn(parts, tokens.types.maps, named('zlast')), undefined);
    assert.equal(await findBuiltIn(parts, tokens.types.tokens, named('_repositories_pull')), undefined);
    const elsewhere = { ...named('_repositories_pull'), parentId: `${tokens.registry.id}x` };
    assert.equal(await findBuiltIn(parts, tokens.types.maps, elsewhere), undefined);
  });

  test('nobody changes it', async () => {
    const parts = { database, tenantUid };
    const refused = refuseBuiltIn(parts, tokens.types.maps, named('_repositories_admin'));
    await assert.rejects(refused, { error: 'resourceNeeded' });
    await refuseBuiltIn(parts, tokens.types.maps, named('zlast'));
  });
});
