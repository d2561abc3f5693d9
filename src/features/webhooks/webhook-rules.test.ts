import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BerthError } from '../../core/errors.ts';
import { groupResourceName } from '../resources/resource-names.ts';
import { webhookActions } from './webhook.ts';
import { filterOf, validateWebhook } from './webhook-rules.ts';

/** A new webhook with these actions, as it is stored. */
function validated(actions: readonly string[]) {
  const properties = { serviceUri: 'https://ci.example/hook', actions: [...actions] };
  const common = { location: undefined, tags: {}, sku: undefined, identity: undefined };
  const name = groupResourceName('subscription', 'group');
  return validateWebhook({ name, desired: { ...common, properties }, existing: undefined });
}

test('every action of the catalogue can be asked for, also what no single region fires', () => {
  for (const action of webhookActions) assert.deepEqual(filterOf(validated([action]).properties).actions, [action]);
  assert.ok(webhookActions.includes('replicated'));
});

test('each action is kept once, and another is refused with those that there are', () => {
  assert.deepEqual(filterOf(validated(['replicated', 'push', 'push']).properties).actions, ['push', 'replicated']);
  for (const actions of [[], ['pull'], ['push', 'PUSH']])
    assert.throws(
      () => validated(actions),
      (error: unknown) =>
        error instanceof BerthError &&
        error.error === 'resourceInvalid' &&
        JSON.stringify(error.detail).includes('replicated'),
    );
});
