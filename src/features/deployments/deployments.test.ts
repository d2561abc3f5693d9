import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleAccess, sampleProcess } from '../../../test/support/sample-access.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import { BerthError } from '../../core/errors.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createJobs } from '../../platform/jobs/create-jobs.ts';
import { createLog } from '../../platform/log.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import { homeGroup } from '../resources/home-group.ts';
import type { Author, Resource } from '../resources/resource.ts';
import { Deployments, type DeploymentsParts } from './deployments.ts';
import type { ResourceHost } from './resource-host.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const type = 'Test.Things/things';

/** A resource manager that keeps what it is given in memory; `broken` is refused. */
function memoryHost(group: () => Resource, held: Map<string, JsonObject>): ResourceHost {
  return {
    put: async ({ id, body }) => {
      if (id.endsWith('/broken')) throw new BerthError('quotaExceeded');
      const view = { ...body, id };
      held.set(id, view);
      return { view, isKnown: true };
    },
    read: async (id) => held.get(id),
    act: async (id, action) => ({ of: id, action }),
    group: async () => ({ id: group().id, name: group().name, location: 'local', tags: {} }),
  };
}

forEachDatabase((_, open) => {
  let database: Database;
  let here: Awaited<ReturnType<typeof sampleProcess>>;
  let group: Resource;
  let author: Author;
  let parts: DeploymentsParts;
  let deployments: Deployments;
  const held = new Map<string, JsonObject>();

  before(async () => {
    database = await open();
    const sample = await sampleAccess(database);
    const { tenantUid } = sample;
    here = await sampleProcess(database, tenantUid, new HeldClock());
    const owner = await database.read
      .selectFrom('principals')
      .select('uid')
      .where('is_owner', '=', 1)
      .executeTakeFirstOrThrow();
    author = { uid: owner.uid, name: 'Olivia', kind: 'User' };
    group = await here.journal.transaction((tx, append) =>
      homeGroup({ clock: systemClock, ids }, tx, append, { tenantUid, author }),
    );
    const host = memoryHost(() => group, held);
    const jobs = createJobs({ database, clock: systemClock, ids, log });
    parts = {
      ...here.account,
      ...{ database, journal: here.journal, clock: systemClock, ids, tenantUid, jobs, log, tenantId: ids.guid() },
      hostOf: () => host,
      forecastOf: () => ({ host, changes: [] }),
      isReplaceable: () => false,
      remove: async () => {},
      describe: ({ id }) => ({ id }),
      errorOf: ({ error }) => ({ code: error, message: error }),
      environment: {},
    };
    deployments = new Deployments(parts);
  });
  after(async () => await here.close());

  const subscription = () => ({ subscriptionId: group.subscriptionId, displayName: 'Berth' });
  const request = (name: string, template: JsonObject, parameters: JsonObject = {}) => ({
    ...{ group, subscription: subscription(), name, author, correlationId: 'test' },
    body: {
      properties: {
        mode: 'Incremental',
        parameters,
        template: {
          $schema: 'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#',
          contentVersion: '1.0.0.0',
          ...template,
        },
      },
    },
  });
  const thing = (name: string, more: JsonObject = {}) => ({ type, apiVersion: '2023-01-01', name, ...more });
  /** Runs what waits, as a server does from its start on. */
  const ended = async (name: string) => {
    const jobs = createJobs({ database, clock: systemClock, ids, log, pollMs: 10 });
    jobs.start(new Deployments(parts).jobKinds());
    try {
      await waitFor('the deployment ends', 120_000, async () => {
        const { state } = await deployments.find(group, name);
        return state !== 'Accepted' && state !== 'Running';
      });
    } finally {
      await jobs.stop();
    }
    return await deployments.find(group, name);
  };
  const refused = async (template: JsonObject, wanted: RegExp, parameters: JsonObject = {}) =>
    await assert.rejects(deployments.begin(request('refused', template, parameters)), (error) => {
      assert(error instanceof BerthError);
      assert.match(JSON.stringify(error.detail), wanted);
      return true;
    });

  test('resources are deployed after those they need; a server that starts anew goes on; secrets are not kept', async () => {
    const template = {
      parameters: { secret: { type: 'securestring' }, stamp: { type: 'string', defaultValue: '[newGuid()]' } },
      resources: [
        thing('last', { properties: { of: `[reference(resourceId('${type}', 'first')).word]` } }),
        thing('first', { properties: { word: "[parameters('secret')]" }, dependsOn: ['middle'] }),
        thing('middle', { copy: { name: 'loop', count: 1 }, condition: true }),
      ],
      outputs: { hidden: { type: 'securestring', value: "[parameters('secret')]" }, count: { type: 'int', value: 3 } },
    };
    await deployments.begin(request('ordered', template, { secret: { value: 'pssst' } }));
    await assert.rejects(deployments.begin(request('ordered', template, { secret: { value: 'x' } })), {
      error: 'deploymentActive',
    });
    const { state, operations, outputs, parameters } = await ended('ordered');
    assert.equal(state, 'Succeeded');
    assert.deepEqual(
      operations.map(({ name }) => name),
      ['middle', 'first', 'last'],
    );
    assert.deepEqual(outputs, { hidden: { type: 'SecureString' }, count: { type: 'Int', value: 3 } });
    assert.deepEqual(parameters.secret, { type: 'SecureString' });
    const row = await database.read
      .selectFrom('deployments')
      .selectAll()
      .where('name', '=', 'ordered')
      .executeTakeFirstOrThrow();
    assert.equal(row.input, null);
    assert.doesNotMatch(JSON.stringify(row), /pssst/);
    const last = z
      .object({ properties: z.object({ of: z.string() }) })
      .parse(held.get(`${group.id}/providers/${type}/last`));
    assert.equal(last.properties.of, 'pssst');
  });

  test('what needs a failed resource is left out, the rest is deployed', async () => {
    const resources = [thing('broken'), thing('needing', { dependsOn: ['broken'] }), thing('free')];
    await deployments.begin(request('failing', { resources }));
    const { state, operations, error } = await ended('failing');
    assert.equal(state, 'Failed');
    assert.deepEqual(
      operations.map(({ name, state: of }) => [name, of]),
      [
        ['broken', 'Failed'],
        ['free', 'Succeeded'],
      ],
    );
    assert.equal(error?.details?.[0]?.code, 'quotaExceeded');
  });

  test('a cancelled deployment deploys nothing more, and may be deleted', async () => {
    await deployments.begin(request('cancelled', { resources: [thing('never')] }));
    await assert.rejects(deployments.delete(group, 'cancelled', author), { error: 'deploymentActive' });
    await deployments.cancel(group, 'cancelled', author);
    assert.equal((await ended('cancelled')).state, 'Canceled');
    assert.equal(held.has(`${group.id}/providers/${type}/never`), false);
    await assert.rejects(deployments.cancel(group, 'cancelled', author), { error: 'deploymentEnded' });
    await deployments.delete(group, 'cancelled', author);
    await assert.rejects(deployments.find(group, 'cancelled'), { error: 'deploymentUnknown' });
  });

  test('someone who lost their rights deploys nothing more', async () => {
    await deployments.begin({
      ...request('rightless', { resources: [thing('never')] }),
      author: { ...author, uid: 'gone' },
    });
    const { state, error } = await ended('rightless');
    assert.deepEqual([state, error?.details?.[0]?.code], ['Failed', 'denied']);
  });

  test('nested: outer expressions are those around it, inner ones its own', async () => {
    const nested = (name: string, scope: string, parameters: JsonObject) =>
      ({
        type: 'Microsoft.Resources/deployments',
        apiVersion: '2022-09-01',
        name,
        properties: {
          mode: 'Incremental',
          expressionEvaluationOptions: { scope },
          ...(scope === 'inner' ? { parameters: { word: { value: "[parameters('word')]" } } } : {}),
          template: {
            ...request('x', {}).body.properties.template,
            parameters,
            resources: [thing(`of-${name}`, { properties: { word: "[concat(parameters('word'), '!')]" } })],
          },
        },
      }) satisfies JsonObject;
    const resources = [nested('one', 'inner', { word: { type: 'string' } }), nested('two', 'outer', {})];
    const template = { parameters: { word: { type: 'string' } }, resources };
    await deployments.begin(request('nesting', template, { word: { value: 'hey' } }));
    assert.equal((await ended('nesting')).state, 'Succeeded');
    for (const name of ['one', 'two']) {
      assert.deepEqual(held.get(`${group.id}/providers/${type}/of-${name}`)?.properties, { word: 'hey!' });
      assert.equal((await deployments.find(group, name)).state, 'Succeeded');
    }
  });

  test('what Bicep makes: symbolic names, types, functions, lambdas and loops', async () => {
    const template = {
      languageVersion: '2.0',
      definitions: { word: { type: 'string', minLength: 2 } },
      functions: [
        {
          namespace: '__bicep',
          members: {
            twice: {
              parameters: [{ type: 'string', name: 'text' }],
              output: { type: 'string', value: "[concat(parameters('text'), parameters('text'))]" },
            },
            louder: {
              parameters: [{ $ref: '#/definitions/word', name: 'text' }],
              output: { type: 'string', value: "[toUpper(__bicep.twice(parameters('text')))]" },
            },
          },
        },
      ],
      parameters: { words: { type: 'array', items: { $ref: '#/definitions/word' } } },
      variables: { long: "[map(parameters('words'), lambda('w', __bicep.louder(lambdaVariables('w'))))]" },
      resources: {
        many: thing("[format('bicep{0}', copyIndex())]", {
          copy: { name: 'many', count: "[length(variables('long'))]" },
          properties: { word: "[variables('long')[copyIndex()]]" },
        }),
        one: thing('bicep', { properties: { id: "[resourceInfo('many[0]').id]" }, dependsOn: ['many'] }),
      },
      outputs: {
        words: { type: 'array', value: "[map(references('many'), lambda('each', lambdaVariables('each').word))]" },
        first: { type: 'string', value: "[reference('many[0]').word]" },
        full: { type: 'string', value: "[last(split(last(references('many', 'full')).id, '/'))]" },
      },
    };
    await deployments.begin(request('bicep', template, { words: { value: ['ab', 'cd'] } }));
    const { state, outputs, error } = await ended('bicep');
    assert.equal(state, 'Succeeded', JSON.stringify(error));
    assert.deepEqual(outputs, {
      words: { type: 'Array', value: ['ABAB', 'CDCD'] },
      first: { type: 'String', value: 'ABAB' },
      full: { type: 'String', value: 'bicep1' },
    });
    await deployments.begin(request('bicep', template, { words: { value: [] } }));
    // Nothing to loop over: what waits for the loop does not wait, and what names one of its resources is refused.
    assert.match(JSON.stringify((await ended('bicep')).error), /templateInvalid/);
    await refused(template, /parameters\.words\[1\].*below 2/, { words: { value: ['ab', 'c'] } });
    const wrong = (expression: string) => ({
      ...template,
      variables: { ...template.variables, wrong: expression },
    });
    const given = { words: { value: [] } };
    await refused(wrong("[__bicep.twice('a', 'b')]"), /takes 1 arguments, not 2/, given);
    await refused(wrong('[__bicep.twice(1)]'), /not of type string/, given);
    await refused(wrong("[__bicep.nope('a')]"), /'__bicep\.nope' is not known/, given);
    await refused(wrong("[parameters('text')]"), /no parameter 'text'/, given);
  });

  test('a function that calls itself without end is stopped', async () => {
    const output = { type: 'string', value: '[a.b()]' };
    const functions = [{ namespace: 'a', members: { b: { output } } }];
    await refused({ functions, variables: { x: '[a.b()]' } }, /calls itself too deeply/);
  });

  test('a wrong template is refused with the place', async () => {
    await refused(
      { resources: [thing('a', { dependsOn: ['b'] }), thing('b', { dependsOn: ['a'] })] },
      /circle: .*a → .*b/,
    );
    await refused({ resources: [thing('a', { dependsOn: ['zz'] })] }, /'zz' is not defined/);
    await refused({ resources: [thing('a'), thing('A')] }, /more than once/);
    await refused({ resources: [thing('a/b')] }, /resources\[0\]\.name/);
    await refused({ resources: [thing("[reference('x').name]")] }, /can only stand in the properties/);
    await refused({ resources: [{ type, name: 'a' }] }, /apiVersion/);
    await refused({ variables: { a: "[variables('b')]", b: "[variables('a')]" } }, /uses itself/);
    await refused({ variables: { a: '[nothing()]' } }, /variables\.a.*'nothing' is not known/);
    await refused({ parameters: { n: { type: 'int', maxValue: 3 } } }, /parameters\.n.*above 3/, { n: { value: 4 } });
    await refused({ parameters: { n: { type: 'int' } } }, /no value and no default/);
    await refused({}, /no parameter of this name/, { n: { value: 4 } });
    await refused({ functions: [{ namespace: 'x' }] }, /functions/);
    await refused({ $schema: 'https://example.test/' }, /schema/);
  });
});
