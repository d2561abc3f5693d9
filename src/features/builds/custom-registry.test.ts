import assert from 'node:assert/strict';
import { test } from 'node:test';
import { customRegistryOf, namesVault, vaultFault, type WrittenRegistry } from './custom-registry.ts';

const server = 'other.example';
const keyvault = 'https://team.vault.example/secrets/deploy';
const clientId = '0a000000-0000-4000-8000-00000000000f';
const ofVault = (value?: string) => ({ type: 'Vaultsecret', ...(value === undefined ? {} : { value }) });
const secret = { id: 'deploy', keyvault };

for (const [what, written, expected] of [
  [
    'a user name and a password are as they are written',
    { userName: { value: 'bob' }, password: { type: 'Opaque', value: 'https://team.vault.example/secrets/x' } },
    { username: 'bob', password: 'https://team.vault.example/secrets/x' },
  ],
  [
    'each of the two can be a secret of a vault, read as the system-assigned identity',
    { userName: ofVault(keyvault), password: ofVault(keyvault), identity: '[System]' },
    { vault: { username: secret, password: secret }, identity: '[System]' },
  ],
  [
    'or read as the identity with a client id',
    { userName: { value: 'bob' }, password: ofVault(keyvault), identity: clientId },
    { username: 'bob', vault: { password: { ...secret, clientId } }, identity: clientId },
  ],
  ['an address that is none is no credential', { password: ofVault('hunter2') }, {}],
] as const)
  test(`credentials of a registry: ${what}`, () => {
    assert.deepEqual(customRegistryOf(server, written), { server, ...expected });
  });

for (const [what, written, fault] of [
  ['without any', { userName: { value: 'bob' } }, undefined],
  ['of the system-assigned identity', { password: ofVault(keyvault) }, undefined],
  ['of a version', { password: ofVault(`${keyvault}/0123456789abcdef`) }, undefined],
  ['that is sealed already', { password: ofVault() }, undefined],
  ['of another identity', { password: ofVault(keyvault), identity: clientId }, undefined],
  ['without https', { password: ofVault('http://team.vault.example/secrets/deploy') }, /not https:/],
  ['that is a key', { userName: ofVault('https://team.vault.example/keys/deploy') }, /not https:/],
  ['of its caller', { password: ofVault(keyvault), identity: '[caller]' }, /not as '\[caller\]'/],
] as const satisfies [string, WrittenRegistry, RegExp | undefined][])
  test(`a secret of a key vault ${what} is ${fault ? 'refused without its value' : 'taken'}`, () => {
    const found = vaultFault(server, written);
    if (fault === undefined) assert.equal(found, undefined);
    else assert.match(found ?? '', fault);
    assert.doesNotMatch(found ?? '', /deploy/);
    assert.equal(namesVault(written), what !== 'without any');
  });
