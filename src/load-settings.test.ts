import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { loadSettings, nearestOf, type SettingSources, SettingsError } from './load-settings.ts';

function load(sources: Partial<Omit<SettingSources, 'readFile'>> & { readonly file?: string }) {
  const { flags = {}, environment = {}, file } = sources;
  return loadSettings({
    flags: file === undefined ? flags : { config: 'berth.yaml', ...flags },
    environment,
    readFile: () => file ?? assert.fail('no settings file was named'),
  });
}

test('a flag goes before a variable, a variable before the file, the file before the default', () => {
  const everywhere = {
    flags: { domain: 'flag.example' },
    environment: { BERTH_DOMAIN: 'env.example', BERTH_HTTP: '0.0.0.0:80', HOME: '/root' },
    file: 'domain: file.example\nhttp: localhost:1\nhttps: "[::]:443"\n',
  };
  const { settings, origins } = load(everywhere);
  assert.equal(settings.domain, 'flag.example');
  assert.deepEqual(settings.http, { host: '0.0.0.0', port: 80 });
  assert.deepEqual(settings.https, { host: '::', port: 443 });
  assert.equal(settings.data, resolve('berth-data'));
  const sourceOf = (name: string) => origins.find((origin) => origin.name === name)?.source;
  assert.deepEqual(['domain', 'http', 'https', 'data'].map(sourceOf), [
    '--domain',
    'BERTH_HTTP',
    'berth.yaml: https',
    'default',
  ]);
});

test('texts become values with units', () => {
  const { settings } = load({
    flags: { 'upload-idle-expiry': '1h30m', 'max-blob-size': '2GiB', 'sparse-manifests': 'on', http: 'none' },
    file: 'trusted-proxies: [10.0.0.0/8, "::1"]\nblock-check: false\noutbound-host: docker.io=[::1]:5001\n',
  });
  assert.equal(settings.uploadIdleExpiry, 5_400_000);
  assert.equal(settings.maxBlobSize, 2 * 2 ** 30);
  assert.equal(settings.sparseManifests, true);
  assert.equal(settings.blockCheck, false);
  assert.equal(settings.http, undefined);
  assert.deepEqual(settings.trustedProxies, ['10.0.0.0/8', '::1/128']);
  assert.deepEqual([...settings.outboundHost], [['docker.io', { host: '::1', port: 5001 }]]);
});

const refused = [
  { what: 'an unknown variable', sources: { environment: { BERTH_HTP: '1' } }, message: /did you mean BERTH_HTTP\?/ },
  {
    what: 'an unknown line of the file',
    sources: { file: 'trusted-proxy: ::1' },
    message: /did you mean trusted-proxies\?/,
  },
  {
    what: 'the master key as a flag',
    sources: { flags: { 'master-key': 'x' } },
    message: /did you mean --master-key-file\?/,
  },
  { what: 'a port beyond 65535', sources: { flags: { http: 'localhost:65536' } }, message: /^--http: a port is/ },
  { what: 'a one-label domain', sources: { flags: { domain: 'localhost' } }, message: /^--domain: a domain has/ },
  {
    what: 'a bare number as duration',
    sources: { environment: { BERTH_BLOB_GRACE: '10' } },
    message: /^BERTH_BLOB_GRACE: a dur/,
  },
  { what: 'a token for two days', sources: { flags: { 'token-lifetime': '2d' } }, message: /from 1s to 24h/ },
  {
    what: 'a network that is none',
    sources: { flags: { 'trusted-proxies': '10.0.0.0/40' } },
    message: /not a network/,
  },
  { what: 'a file that is a list', sources: { file: '- a' }, message: /not a list of "name: value"/ },
  { what: 'a nested value', sources: { file: 'http: {port: 1}' }, message: /^http: a text/ },
  { what: 'another database', sources: { flags: { database: 'mysql://x/y' } }, message: /begins with postgres/ },
];
for (const { what, sources, message } of refused) {
  test(`${what} is refused with what would do`, () => {
    assert.throws(
      () => load(sources),
      (error) => error instanceof SettingsError && message.test(error.message),
    );
  });
}

test('the nearest name needs the fewest changes', () => {
  assert.equal(nearestOf('blob-chek', ['block-check', 'blobs', 'http']), 'block-check');
});
