import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { goClient } from './client.ts';
import { useWorkbench } from './workbench.ts';

describe('cosign', () => {
  const bench = useWorkbench();
  const cosign = goClient(bench, 'cosign');
  const crane = goClient(bench, 'crane');
  /** No transparency log: keys and signatures stay between this machine and the registry. */
  const offline = { env: { COSIGN_PASSWORD: 'key password' } };

  for (const name of ['http', 'https', 'named'] as const) {
    test(`signs an image, verifies it, and refuses another key over ${name}`, async () => {
      const { host } = bench()[name];
      const { layout, digests } = bench().samples;
      const image = `${host}/cosign/${name}@${digests.app}`;
      await cosign.run(['login', host, '-u', bench().username, '-p', bench().password]);
      await crane.run(['push', '--index', layout, `${host}/cosign/${name}:all`]);
      await cosign.run(['generate-key-pair', '--output-key-prefix', name], offline);
      await cosign.run(['generate-key-pair', '--output-key-prefix', `other-${name}`], offline);
      await cosign.run(
        ['sign', '--yes', '--tlog-upload=false', '--key', `${name}.key`, '-a', 'stage=test', image],
        offline,
      );
      const verify = ['verify', '--insecure-ignore-tlog=true', '-a', 'stage=test', '--key'];
      assert.match(await cosign.run([...verify, `${name}.pub`, image]), new RegExp(digests.app));
      assert.match(
        await cosign.fail([...verify, `other-${name}.pub`, image]),
        /no matching signatures|invalid signature/,
      );
      const signature = (await cosign.run(['triangulate', image])).trim().split(':').at(-1) ?? '';
      assert.notEqual(await bench().manifest(`cosign/${name}`, signature), undefined);
    });
  }

  test('attests, and finds the attestation as a referrer', async () => {
    const { host } = bench().named;
    const { layout, digests } = bench().samples;
    const image = `${host}/cosign/attest@${digests.app}`;
    await cosign.run(['login', host, '-u', bench().username, '-p', bench().password]);
    await crane.run(['push', '--index', layout, `${host}/cosign/attest:all`]);
    await cosign.run(['generate-key-pair', '--output-key-prefix', 'attest'], offline);
    bench().file('predicate.json', '{"built":"by the test"}');
    await cosign.run(
      ['attest', '--yes', '--tlog-upload=false', '--key', 'attest.key', '--predicate', 'predicate.json', image],
      offline,
    );
    const verify = ['verify-attestation', '--insecure-ignore-tlog=true', '--key', 'attest.pub', image];
    assert.match(await cosign.run(verify), /payload/);
  });
});
