import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BerthError } from '../../core/errors.ts';
import { systemIds } from '../system-ids.ts';
import { createPasswordHasher } from './password-hasher.ts';
import { hashSecret } from './secret-hash.ts';

const passwords = createPasswordHasher(systemIds);

test('a password matches its own verifier, which is salted and carries its parameters', async () => {
  const verifier = await passwords.hash('correct horse');
  assert.match(verifier, /^scrypt\$32768\$8\$1\$[\w-]{22}\$[\w-]{43}$/);
  assert.notEqual(await passwords.hash('correct horse'), verifier);
  assert.equal(await passwords.verify('correct horse', verifier), true);
  assert.equal(await passwords.verify('wrong horse', verifier), false);
  assert.equal(await passwords.verify('correct horse', undefined), false);
  assert.equal(await passwords.verify('correct horse', hashSecret('correct horse')), false);
});

test('a verifier with other parameters still works', async () => {
  // Source: RFC 7914, section 12, second test vector, the first 32 of its 64 bytes.
  const known = [
    'scrypt',
    1024,
    8,
    16,
    Buffer.from('NaCl').toString('base64url'),
    Buffer.from('fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162', 'hex').toString('base64url'),
  ].join('$');
  assert.equal(await passwords.verify('password', known), true);
});

test('a malformed verifier is an error, not a wrong password', async () => {
  for (const verifier of ['', 'scrypt$16$1$1$$', 'abc'])
    await assert.rejects(passwords.verify('x', verifier), /malformed/);
});

test('more than a queue of waiting passwords is refused at once, the others are answered', async () => {
  const verifier = 'scrypt$16$1$1$AAAA$AAAA';
  const results = await Promise.allSettled(Array.from({ length: 40 }, () => passwords.verify('x', verifier)));
  const refused = results.filter((result) => result.status === 'rejected');
  assert.equal(refused.length, 40 - 34);
  for (const { reason } of refused) assert.ok(reason instanceof BerthError && reason.error === 'tooManyRequests');
  assert.equal(await passwords.verify('x', verifier), false);
});
