import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agentFlags } from './compose-built-in-agent.ts';
import { loadSettings } from './load-settings.ts';

const loaded = (flags: Readonly<Record<string, string>>) =>
  loadSettings({ flags, environment: {}, readFile: () => '' }).settings;

test('the agent of a server reaches what its server reaches', () => {
  const settings = loaded({
    'outbound-allow': '10.1.0.0/16, fd00::/8, 192.0.2.7',
    'outbound-host': 'docker.io=[::1]:5001,git.example=mirror.test:443',
    'build-slots': '3',
  });
  const words = agentFlags(settings, 'http://localhost:5000');
  const flags = Object.fromEntries(
    words.flatMap((word, index) => (word.startsWith('--') ? [[word.slice(2), words[index + 1] ?? '']] : [])),
  );
  const { pool, slots, ...rest } = flags;
  assert.deepEqual([pool, slots], ['default', '3']);
  const agent = loaded(rest);
  assert.deepEqual(agent.outboundAllow, settings.outboundAllow);
  assert.deepEqual([...agent.outboundHost], [...settings.outboundHost]);
});

test('a server with no way of its own gives its agent none', () => {
  assert(!agentFlags(loaded({}), 'http://localhost:5000').some((word) => word.startsWith('--outbound')));
});

test('the agent of a server builds with the BuildKit that its server was told of', () => {
  const settings = loaded({
    buildkit: 'tcp://builder.test:1234',
    ...{
      'buildkit-tls': '/etc/tls',
      buildctl: '/opt/buildctl',
      'buildkit-provenance': 'max',
      'buildkit-sbom': 'r.test/scan',
    },
  });
  const words = agentFlags(settings, 'http://localhost:5000');
  const names = ['buildkit', 'buildkit-tls', 'buildctl', 'buildkit-provenance', 'buildkit-sbom'];
  const agent = loaded(Object.fromEntries(names.map((name) => [name, words[words.indexOf(`--${name}`) + 1] ?? ''])));
  for (const name of ['buildkit', 'buildkitTls', 'buildctl', 'buildkitProvenance', 'buildkitSbom'] as const)
    assert.equal(agent[name], settings[name]);
  assert(!agentFlags(loaded({}), 'http://localhost:5000').some((word) => word.startsWith('--buildkit')));
});
