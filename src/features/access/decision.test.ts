import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRegistryName } from '../../core/registry-name.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import { anonymous, type Principal } from '../identity/principal.ts';
import { openAccess, type Registry } from '../registries/registry.ts';
import { type Action, type Circumstances, decide, type Rights, type Scope, visible } from './decision.ts';
import { inherentGrants } from './rights.ts';

const open: Registry = {
  uid: 'open',
  tenantUid: 'tenant',
  name: parseRegistryName('contoso'),
  loginServer: 'contoso.berth.test',
  sku: 'Premium',
  isAdminEnabled: true,
  isAnonymousPullEnabled: true,
  resourceKey: '/subscriptions/s/resourcegroups/g/providers/microsoft.containerregistry/registries/contoso',
  ...openAccess,
};
const closed: Registry = { ...open, uid: 'closed', isAnonymousPullEnabled: false };

const user: Principal = { kind: 'user', uid: 'user', name: 'ann', isOwner: false, registryUid: undefined };
const owner: Principal = { ...user, kind: 'servicePrincipal', isOwner: true };
const admin: Principal = { ...user, kind: 'registryAdmin', registryUid: 'closed' };
const adminOfNothing: Principal = { ...user, kind: 'registryAdmin' };

const actions: readonly Action[] = ['connect', 'pull', 'push', 'delete', 'metadata_write', 'catalogList', 'administer'];
const everything = 'connect pull push delete metadata_write catalogList administer';
const reading = 'connect pull catalogList';
const content = 'connect pull push delete metadata_write catalogList';

const rows: readonly [string, Principal, Registry, string][] = [
  ['a stranger on a closed registry', anonymous, closed, ''],
  ['a stranger on an open registry', anonymous, open, reading],
  ['a user without roles', user, closed, 'connect'],
  ['a user without roles on an open registry', user, open, reading],
  ['the owner', owner, closed, everything],
  ['the admin account of the registry', admin, closed, content],
  ['the admin account of another registry', admin, open, reading],
  ['an admin account that belongs to no registry', adminOfNothing, closed, 'connect'],
];

for (const [label, principal, registry, expected] of rows) {
  test(`${label} may ${expected === '' ? 'do nothing' : expected}`, () => {
    const rights = rightsOf(principal, registry);
    const allowed = actions.filter((action) => isAllowed(rights, action, registry));
    assert.equal(allowed.join(' '), expected);
    const lists = visible(rights, 'catalogList', registry.uid).kind;
    assert.equal(lists, expected.includes('catalogList') ? 'all' : 'none');
  });
}

test('a denial names what is missing, and an allowance what gave it', () => {
  const scope: Scope = { kind: 'registry', registryUid: 'closed' };
  const denied = decide(rightsOf(user, closed), 'catalogList', scope, circumstances('oci'));
  assert.deepEqual(denied, { kind: 'denied', reason: 'nothing gives ann this action here', missing: 'catalogList' });
  const allowed = decide(rightsOf(owner, closed), 'catalogList', scope, circumstances('oci'));
  assert.deepEqual(allowed, { kind: 'allowed', by: 'owner of the installation' });
});

test('a grant on some repositories holds there alone, and lists show those', () => {
  const place = { kind: 'repositories', registryUid: 'closed', names: ['team/app'], prefixes: ['lib/'] } as const;
  const rights: Rights = { principal: user, grants: [{ by: 'test', actions: ['pull'], at: place }] };
  const on = (registryUid: string, name: string): Scope => {
    return { kind: 'repository', registryUid, repository: parseRepositoryName(name) };
  };
  const asked: readonly [Scope, string][] = [
    [on('closed', 'team/app'), 'allowed'],
    [on('closed', 'team/app2'), 'denied'],
    [on('closed', 'lib/zlib'), 'allowed'],
    [on('closed', 'library'), 'denied'],
    [on('open', 'team/app'), 'denied'],
    [{ kind: 'registry', registryUid: 'closed' }, 'denied'],
  ];
  const outcomes = asked.map(([scope]) => decide(rights, 'pull', scope, circumstances('oci')).kind);
  assert.deepEqual(
    outcomes,
    asked.map(([, outcome]) => outcome),
  );
  assert.deepEqual(visible(rights, 'pull', 'closed'), { kind: 'some', names: ['team/app'], prefixes: ['lib/'] });
  assert.deepEqual(visible(rights, 'pull', 'open'), { kind: 'none' });
});

test('nobody administers except through the admin surface', () => {
  const decision = decide(rightsOf(owner, closed), 'administer', { kind: 'installation' }, circumstances('oci'));
  assert.equal(decision.kind, 'denied');
});

function isAllowed(rights: Rights, action: Action, registry: Registry): boolean {
  return decide(rights, action, scopeOf(action, registry.uid), circumstances('admin')).kind === 'allowed';
}

function scopeOf(action: Action, registryUid: string): Scope {
  if (action === 'administer') return { kind: 'installation' };
  if (action === 'connect' || action === 'catalogList') return { kind: 'registry', registryUid };
  return { kind: 'repository', registryUid, repository: parseRepositoryName('team/app') };
}

function circumstances(surface: Circumstances['surface']): Circumstances {
  return { address: '192.0.2.1', surface, correlationId: 'test', userAgent: undefined };
}

function rightsOf(principal: Principal, registry: Registry): Rights {
  return { principal, grants: inherentGrants(principal, registry) };
}
