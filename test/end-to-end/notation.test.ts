import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { goClient } from './client.ts';
import { type Target, useWorkbench } from './workbench.ts';

describe('notation', () => {
  const bench = useWorkbench();
  const notation = goClient(bench, 'notation');
  const crane = goClient(bench, 'crane');

  const signedIn = () => ({ env: { NOTATION_USERNAME: bench().username, NOTATION_PASSWORD: bench().password } });
  const trust = (target: Target) => (target.tls ? [] : ['--insecure-registry']);
  const trustSignaturesOf = (store: string) => {
    const policy = {
      version: '1.0',
      trustPolicies: [
        {
          name: 'test',
          registryScopes: ['*'],
          signatureVerification: { level: 'strict' },
          trustStores: [`ca:${store}`],
          trustedIdentities: ['*'],
        },
      ],
    };
    const folder = join(bench().env.XDG_CONFIG_HOME ?? '', 'notation');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'trustpolicy.json'), JSON.stringify(policy), { mode: 0o600 });
  };

  // notation speaks plain http with every localhost, so its https is tried on the login server only.
  for (const name of ['http', 'named'] as const) {
    test(`signs an image, lists and verifies the signature, and refuses a stranger's over ${name}`, async () => {
      const target = bench()[name];
      const { layout, digests } = bench().samples;
      const image = `${target.host}/notation/${name}@${digests.app}`;
      await crane.run(['auth', 'login', target.host, '-u', bench().username, '-p', bench().password]);
      await crane.run(['push', '--index', layout, `${target.host}/notation/${name}:all`]);
      await notation.run(['cert', 'generate-test', `signer-${name}`]);
      await notation.run(['cert', 'generate-test', `stranger-${name}`]);
      await notation.run(['sign', ...trust(target), '--key', `signer-${name}`, image], signedIn());
      assert.match(
        await notation.run(['list', ...trust(target), image], signedIn()),
        /application\/vnd\.cncf\.notary\.signature/,
      );
      trustSignaturesOf(`signer-${name}`);
      assert.match(
        await notation.run(['verify', ...trust(target), image], signedIn()),
        /Successfully verified signature/,
      );
      trustSignaturesOf(`stranger-${name}`);
      assert.match(
        await notation.fail(['verify', ...trust(target), image], signedIn()),
        /signature verification failed/,
      );
    });
  }
});
