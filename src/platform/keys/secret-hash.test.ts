import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashSecret, isSecretHash, verifySecret } from './secret-hash.ts';

test('a secret matches its own verifier alone', () => {
  const verifier = hashSecret('abc');
  assert.equal(verifier, 'sha256$ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0');
  assert.equal(isSecretHash(verifier), true);
  assert.equal(verifySecret('abc', verifier), true);
  for (const [secret, other] of [
    ['abd', verifier],
    ['', verifier],
    ['abc', ''],
    ['abc', 'sha256$'],
    ['abc', hashSecret('x')],
  ] as const) {
    assert.equal(verifySecret(secret, other), false);
  }
});
