import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunFailure } from '../run-failure.ts';
import { refuseStrangers } from './refuse-strangers.ts';

const old = { unpatched: ['runc 1.1.5 lacks the fixes of CVE-2025-31133'], hasBuildKit: false };
const shared = { unpatched: [], hasBuildKit: true };
const lent = { server: 'one.example', username: 'name', password: 'word' };
const of = (TriggeredBy: string, credentials = [lent]) => ({ variables: { TriggeredBy }, credentials });
const stranger = of('Pull Request', []);

test('pull requests from forks are refused where known ways out are open, unless that is taken', () => {
  assert.throws(
    () => refuseStrangers(stranger, old, false),
    (error: Error) => error instanceof RunFailure && /runc 1\.1\.5 .*script\/build-tools/.test(error.message),
  );
  refuseStrangers(stranger, old, true);
  refuseStrangers(stranger, { unpatched: [], hasBuildKit: false }, false);
});

test('pull requests from forks are refused where a BuildKit builds for others too, unless that is taken', () => {
  assert.throws(() => refuseStrangers(stranger, shared, false), /without --buildkit/);
  refuseStrangers(stranger, shared, true);
});

test('what became of an agent unasked is not among what its operator took', () => {
  const weak = { unpatched: [], unasked: 'containers are kept apart by chroot alone', hasBuildKit: false };
  for (const isTaken of [true, false])
    assert.throws(
      () => refuseStrangers(stranger, weak, isTaken),
      (error: Error) =>
        error instanceof RunFailure && /by chroot alone\. .*--build-isolation chroot/.test(error.message),
    );
  refuseStrangers(of('Pull Request'), weak, false);
});

test('all other runs go on', () => {
  refuseStrangers(of('Pull Request'), old, false);
  refuseStrangers(of('Pull Request'), shared, false);
  for (const trigger of ['Commit', 'Manual', 'Timer', 'Image Update']) refuseStrangers(of(trigger, []), old, false);
});
