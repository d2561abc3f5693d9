import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunFailure } from '../run-failure.ts';
import { refuseStrangers } from './refuse-strangers.ts';

const old = { unpatched: ['runc 1.1.5 lacks the fixes of CVE-2025-31133'] };
const of = (TriggeredBy: string) => ({ variables: { TriggeredBy } });

test('pull requests are refused where known ways out are open, unless that is taken', () => {
  assert.throws(
    () => refuseStrangers(of('Pull Request'), old, false),
    (error: Error) => error instanceof RunFailure && /runc 1\.1\.5 .*script\/build-tools/.test(error.message),
  );
  refuseStrangers(of('Pull Request'), old, true);
  refuseStrangers(of('Pull Request'), { unpatched: [] }, false);
  for (const trigger of ['Commit', 'Manual', 'Timer', 'Image Update']) refuseStrangers(of(trigger), old, false);
});
