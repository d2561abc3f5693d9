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
